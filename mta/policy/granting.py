"""Who may change what others may do with an item: narrowing is free for its owner, widening is told as such."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mta.model.protected import Grant, Item, ItemState
from mta.model.rights import Right, complete

OPEN_STATES = (ItemState.LIVE, ItemState.HELD)


@dataclass(frozen=True, slots=True)
class NotAllowed:
    """Why a change is not made."""

    word: str
    text: str


def may_change(item: Item, grants: Iterable[Grant], who: str, reader: str, *, wider: bool) -> NotAllowed | None:
    """Whether `who` (a proven address) may change what `reader` may do; `wider`: more than before, or longer.

    The owner may; whoever has EDITRIGHTSDATA may narrow what other readers may; and everybody may do with less
    themselves. `reader` empty: the whole item, which is the owner's alone.
    """
    if item.state not in OPEN_STATES:
        return NotAllowed(item.state.value, f"{item.id} is {item.state}: nobody opens it any more")
    if who == item.owner:
        return None
    if wider:
        return NotAllowed("not-owner", f"{who} does not own {item.id}: only its owner gives more than there was")
    mine = (grant for grant in grants if grant.reader == who and not grant.revoked_at)
    if reader and reader == who:
        return None
    if reader and reader != item.owner and any(Right.EDITRIGHTSDATA in complete(grant.rights) for grant in mine):
        return None
    return NotAllowed("not-owner", f"{who} neither owns {item.id} nor may change its rights")


def is_widening(before: Grant | None, after: Grant) -> bool:
    """Whether the reader may do more, or for longer, than before."""
    if before is None or before.revoked_at:
        return True
    if complete(after.rights) - complete(before.rights):
        return True
    longer = before.not_after and (not after.not_after or after.not_after > before.not_after)
    return bool(longer)
