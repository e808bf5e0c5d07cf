"""Leases of nodes: how long one may trust its own, when the others may take what is its, and when they must not.

The database grants a lease of `ttl` seconds by its own clock whenever a node renews it. The node trusts it by a clock
that goes on while the machine sleeps (CLOCK_BOOTTIME), from the moment at which it *sent* the renewal, and `margin`
seconds less: whatever the way took, it stops before the database says that it must.

Trust is asked for in one place that counts: before the final dot. No dot is sent by a node whose lease may have passed.
"""

from __future__ import annotations

from dataclasses import dataclass

from mta.model.frozen import frozen

CRASH_LOOP = 3  # times that a recipient was taken over from nodes that vanished: then it is held


@frozen
class Terms:
    """Of every lease of a queue, in seconds. `delay`: how long mail of a dead node waits for its last replies."""

    ttl: float = 60.0
    delay: float = 60.0

    @property
    def margin(self) -> float:
        """What a node takes off its own lease, and what the others add to it: clocks that run unlike."""
        return self.ttl / 6

    @property
    def every(self) -> float:
        """The pause between renewals."""
        return self.ttl / 6


@dataclass(slots=True)
class Trust:
    """One node's trust in its lease. Times are its own monotonic seconds."""

    terms: Terms
    until: float = float("-inf")
    since: float = float("inf")  # from when on it was never without

    def renewed(self, sent: float, now: float) -> None:
        """A renewal that was sent at `sent` has been granted."""
        if now >= self.until:  # there was a gap, or this is the first
            self.since = now
        self.until = max(self.until, sent + self.terms.ttl - self.terms.margin)

    def lost(self) -> None:
        """The others have declared this incarnation dead."""
        self.until, self.since = float("-inf"), float("inf")

    def holds(self, now: float) -> bool:
        """Whether a final dot may be sent."""
        return now < self.until

    def may_bury(self, now: float) -> bool:
        """Whether it may declare others dead: after a failover everybody looks dead to everybody for a while,

        so only who was connected for a whole lease may.
        """
        return self.holds(now) and now - self.since >= self.terms.ttl
