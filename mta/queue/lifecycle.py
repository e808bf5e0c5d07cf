"""What may become of one recipient, as a table.

                      +--- retry ---+
                      v             |
    enqueue ------> queued ---------+
       |             |  ^
       |        hold |  | release
       |             v  |
       +---------> held ------------+--- hold again, with another reason
                     |
    queued, held ----+----> delivered   the next hop took it
                     +----> relayed     ... and cannot report further
                     +----> failed      refused for good, bounced
                     +----> expired     the lifetime ended, bounced
                     +----> deleted     an operator's command

A held recipient may still become delivered, relayed or failed: an attempt that was under way when the operator said
`hold` has happened, and forgetting it would deliver the message twice. Final states are left by nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mta.errors import LocalProtocolError
from mta.model.lifecycle import (
    DELETED,
    DELIVERED,
    EXPIRED,
    FAILED,
    FINAL,
    HELD,
    OPEN,
    QUEUED,
    RELAYED,
    STATES,
    is_final,
)

__all__ = [
    "DELETED",
    "DELIVERED",
    "EXPIRED",
    "FAILED",
    "FINAL",
    "HELD",
    "MOVES",
    "OPEN",
    "QUEUED",
    "RELAYED",
    "STATES",
    "check_move",
    "is_final",
]

MOVES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        QUEUED: OPEN | FINAL,
        HELD: OPEN | FINAL,
        DELIVERED: frozenset(),
        RELAYED: frozenset(),
        FAILED: frozenset(),
        EXPIRED: frozenset(),
        DELETED: frozenset(),
    }
)


def check_move(old: str, new: str) -> None:
    """Raise LocalProtocolError unless a recipient may go from `old` to `new`."""
    if old not in MOVES:
        raise LocalProtocolError(f"a recipient cannot be in state {old!r}; states are {', '.join(sorted(MOVES))}")
    if new not in MOVES[old]:
        allowed = ", ".join(sorted(MOVES[old])) or "nothing, it is final"
        raise LocalProtocolError(f"a recipient cannot go from {old} to {new!r}; from {old} it may go to: {allowed}")
