"""The `connectors` object: one partner, one object, two directions."""

from __future__ import annotations

from dataclasses import dataclass, field

from mta.contract.inbound import Inbound
from mta.contract.outbound import Outbound


@dataclass(frozen=True, slots=True)
class Connector:
    """One partner, one object, two directions. A missing direction is already `default`'s."""

    name: str
    mode: str = "enforce"  # or `audit`: of mail that comes in
    domains: tuple[str, ...] = ()
    relay: bool = False
    inbound: Inbound = field(default_factory=Inbound)
    outbound: Outbound = field(default_factory=Outbound)
    own_inbound: bool = True  # the object itself has an `inbound`
    own_outbound: bool = True
    line: int = 0
    probed: bool = True  # it is among those that are looked at by themselves
    mode_out: str = ""  # of mail that goes out; empty: as `mode`
    contact: str = ""  # whom to ask at the partner's
    reference: str = ""  # of the agreement, the ticket, the customer
    note: str = ""

    @property
    def audits(self) -> bool:
        """Whether it only reports what it would do with mail that comes in."""
        return self.mode == "audit"

    @property
    def about(self) -> str:
        """What people wrote down of it, in one line; empty: nothing."""
        told = {"contact": self.contact, "reference": self.reference, "note": self.note}
        return ", ".join(f"{word} {text}" for word, text in told.items() if text)

    @property
    def outbound_mode(self) -> str:
        """Of mail that goes out: `enforce` or `audit`."""
        return self.mode_out or self.mode


DEFAULT = "default"
