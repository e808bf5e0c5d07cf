"""What may become of one recipient of a queued message: its states, and the table of the moves between them.

                      +--- retry ---+
                      v             |
    enqueue ------> queued ---------+
       |             |  ^
       |        hold |  | release (a person's, or the relay's own command)
       |             v  |
       +---------> held ------------+--- hold again, with another reason
                     |
    queued, held ----+----> delivered   the next hop took it
                     +----> relayed     ... and cannot report further
                     +----> failed      refused for good, bounced
                     +----> expired     the lifetime ended, bounced
                     +----> deleted     an operator's command

A held recipient may still become delivered, relayed or failed: an attempt that was under way when the operator said
`hold` has happened, and forgetting it would deliver the message twice. But no attempt lifts a hold. Final states are
left by nobody. A store makes its statements of this table, and `tests/contracts` holds every store to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

QUEUED: Final = "queued"  # waits for its next attempt, or is being attempted
HELD: Final = "held"  # waits for a person
DELIVERED: Final = "delivered"  # the next hop took it
RELAYED: Final = "relayed"  # the next hop took it and cannot report on it further (RFC 3464 §2.3.3)
FAILED: Final = "failed"  # refused for good; the sender was told
EXPIRED: Final = "expired"  # tried until its lifetime ended; the sender was told
DELETED: Final = "deleted"  # an operator removed it

_ENDS = frozenset({DELIVERED, RELAYED, FAILED, EXPIRED, DELETED})

# Where a recipient may go by a command, and by what an attempt came to.
BY_COMMAND: Final[Mapping[str, frozenset[str]]] = {
    QUEUED: _ENDS | {QUEUED, HELD},
    HELD: _ENDS | {QUEUED, HELD},
    **dict.fromkeys(_ENDS, frozenset()),
}
BY_ATTEMPT: Final[Mapping[str, frozenset[str]]] = {**BY_COMMAND, HELD: _ENDS | {HELD}}

STATES: Final = frozenset(BY_COMMAND)
FINAL: Final = frozenset(state for state, moves in BY_COMMAND.items() if not moves)
OPEN: Final = STATES - FINAL


def after(old: str, wanted: str, *, by_attempt: bool) -> str | None:
    """The state of a recipient in `old` that is to become `wanted`; None: it stays as it is, for it has come to an end.

    What an attempt must not do to a recipient leaves its state, though something is known of it now. A state that is
    none (of a damaged row) is left alone, too. `wanted` is one of `STATES`.
    """
    moves = (BY_ATTEMPT if by_attempt else BY_COMMAND).get(old)
    if not moves:
        return None
    return wanted if wanted in moves else old
