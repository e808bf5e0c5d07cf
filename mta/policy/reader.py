"""Who a reader is, and whether they may open an item: pure, for pages, key server and command line alike."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from mta.contract.readers import is_meant
from mta.model.protected import Grant, Item, ItemState, KeyState
from mta.model.rights import ALL, Right, complete


class Refusal(StrEnum):
    """Why nothing opens. The reader hears `forbidden`, whatever it is; the log has the word."""

    UNKNOWN_ITEM = "unknown-item"  # nothing here was sealed with this wrapped key
    CHANGED_POLICY = "changed-policy"  # the policy beside the key is not the one it was sealed with
    NO_GRANT = "no-grant"
    REVOKED = "revoked"
    EXPIRED = "expired"
    SHREDDED = "shredded"
    HELD = "held"
    KEY_HELD = "key-held"
    KEY_DESTROYED = "key-destroyed"
    NO_RIGHT = "no-right"
    NO_LEAVE = "no-leave"  # as super user, without two persons' leave that holds now
    NOT_PROVEN = "not-proven"  # the label wants a proof of possession


@dataclass(frozen=True, slots=True)
class Asked:
    """What is wanted of an item: by whom (a proven address), which right must be there, when (epoch seconds)."""

    reader: str
    wants: Right
    at: float
    super_user: bool = False  # opens as an owner does; two persons have agreed to it


@dataclass(frozen=True, slots=True)
class Permission:
    """May it be opened? `grant` says by what leave; `refusal` and `reason` why not (for us, not for the reader)."""

    rights: frozenset[Right] = frozenset()
    grant: Grant | None = None
    refusal: Refusal | None = None
    reason: str = ""

    @property
    def allowed(self) -> bool:
        """Whether it opens."""
        return self.refusal is None


def judge(item: Item, grants: Iterable[Grant], key: KeyState, asked: Asked, ours: frozenset[str]) -> Permission:
    """May this reader do this with this item now? What concerns everybody comes first, then the reader's grants."""
    common = _for_all(item, key, asked.at)
    if common is not None:
        return common
    if asked.super_user:
        return Permission(ALL)
    mine = [grant for grant in grants if is_meant(grant.reader, asked.reader, ours)]
    if not mine:
        return _no(Refusal.NO_GRANT, f"{asked.reader} has no grant for {item.id}")
    alive = [grant for grant in mine if not grant.revoked_at]
    if not alive:
        return _no(Refusal.REVOKED, f"the grant of {asked.reader} was revoked")
    current = [grant for grant in alive if not grant.not_after or asked.at < grant.not_after]
    if not current:
        return _no(Refusal.EXPIRED, f"the grant of {asked.reader} has expired")
    return _by_rights(current, asked)


def _for_all(item: Item, key: KeyState, now: float) -> Permission | None:
    if item.state == ItemState.SHREDDED:
        return _no(Refusal.SHREDDED, f"{item.id} was shredded")
    if item.state == ItemState.EXPIRED or (item.not_after and now >= item.not_after):
        return _no(Refusal.EXPIRED, f"{item.id} has expired")
    if item.state == ItemState.HELD:
        return _no(Refusal.HELD, f"{item.id} is held")
    if key == KeyState.HELD:
        return _no(Refusal.KEY_HELD, f"the root key {item.key} is held")
    if key == KeyState.DESTROYED:
        return _no(Refusal.KEY_DESTROYED, f"the root key {item.key} was destroyed")
    return None


def _by_rights(grants: list[Grant], asked: Asked) -> Permission:
    """Several grants add up; the one that brings the right is the one that is named."""
    rights = complete(right for grant in grants for right in grant.rights)
    bringing = next((grant for grant in grants if asked.wants in complete(grant.rights)), None)
    if bringing is None:
        return _no(Refusal.NO_RIGHT, f"{asked.reader} lacks {asked.wants} (has {', '.join(sorted(rights))})")
    return Permission(rights, bringing)


def _no(refusal: Refusal, reason: str) -> Permission:
    return Permission(refusal=refusal, reason=reason)
