"""The names of a queued recipient's states, and which of them are final. queue/lifecycle.py holds the legal moves."""

from __future__ import annotations

from typing import Final

QUEUED: Final = "queued"  # waits for its next attempt, or is being attempted
HELD: Final = "held"  # waits for a person
DELIVERED: Final = "delivered"  # the next hop took it
RELAYED: Final = "relayed"  # the next hop took it and cannot report on it further (RFC 3464 §2.3.3)
FAILED: Final = "failed"  # refused for good; the sender was told
EXPIRED: Final = "expired"  # tried until its lifetime ended; the sender was told
DELETED: Final = "deleted"  # an operator removed it

OPEN: Final = frozenset({QUEUED, HELD})
FINAL: Final = frozenset({DELIVERED, RELAYED, FAILED, EXPIRED, DELETED})
STATES: Final = OPEN | FINAL


def is_final(state: str) -> bool:
    """Whether nothing more happens to a recipient in this state."""
    return state in FINAL
