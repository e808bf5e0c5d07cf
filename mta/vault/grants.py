"""Changes who may open an item: grant, narrow, extend, revoke, hold, shred. Each is one transaction with its event."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mta.errors import NotOpened, UsageError
from mta.model.protected import SHRED, Actor, Grant, Item, ItemState, VaultEvent
from mta.model.rights import Right, complete
from mta.observe.vault_events import Operation, Result
from mta.policy.granting import OPEN_STATES, is_widening, may_change
from mta.ports.vault import Change
from mta.vault.attachments import attachments
from mta.vault.vault import Vault


@dataclass(frozen=True, slots=True)
class Editor:
    """Who changes something: the owner, a reader with EDITRIGHTSDATA, or an administrator of ours."""

    actor: Actor
    administrator: bool = False


async def found_item(vault: Vault, id: str) -> Item:
    """The item of this id, or the only one that begins so. Raises UsageError."""
    item = await vault.store.item(id)
    if item is None:
        raise UsageError(f"there is no item {id}, or several begin so; `mta protected list` shows all")
    return item


async def grant(vault: Vault, item: Item, reader: str, rights: frozenset[Right], editor: Editor) -> Grant:
    """Let `reader` do exactly this from now on; the grants they had are replaced by it. Raises NotOpened."""
    _own(item)
    before = await _mine(vault, item, reader)
    now, first = vault.clock.now(), before[0] if before else None
    fresh = Grant(first.id if first else vault.new_id(), item.id, reader, complete(rights), editor.actor.subject, now)
    gone = [replace(one, revoked_at=now) for one in before[1:] if not one.revoked_at]
    wider = is_widening(first, fresh)
    await _allowed(vault, item, editor, reader, wider=wider)
    event = _event(vault, Operation.GRANT, item, editor, "widened" if wider else "narrowed", fresh)
    await vault.store.change(Change((event,), grants=(fresh, *gone)))
    return fresh


async def extend(vault: Vault, item: Item, until: float, editor: Editor, reader: str = "") -> None:
    """A new end for the item, or for one reader's grant; 0: none. Raises NotOpened, UsageError."""
    latest = item.created + vault.protection.retention if vault.protection.retention else 0.0
    if latest and (not until or until > latest) and not reader:
        raise UsageError(f"nothing is kept longer than protection.retention says: {item.id} ends at {int(latest)}")
    if not reader:
        await _allowed(vault, item, editor, "", wider=_later(item.not_after, until))
    detail = {"until": str(int(until)) if until else "never"}
    event = replace(_event(vault, Operation.EXTEND, item, editor, reader), detail=detail | {"reader": reader})
    if not reader:
        ends = tuple((one.id, until) for one in (item, *await attachments(vault, item)))
        await vault.store.change(Change((event,), ends=ends))
        return
    _own(item)
    mine = await _mine(vault, item, reader, must=True)
    longer = any(_later(one.not_after, until) for one in mine)
    await _allowed(vault, item, editor, reader, wider=longer)
    await vault.store.change(Change((event,), grants=tuple(replace(one, not_after=until) for one in mine)))


async def revoke(vault: Vault, item: Item, editor: Editor, reader: str = "") -> None:
    """Take the grants of one reader back, or of all: then the item is shredded."""
    if not reader:
        await shred(vault, item, editor)
        return
    _own(item)
    await _allowed(vault, item, editor, reader, wider=False)
    now, mine = vault.clock.now(), await _mine(vault, item, reader, must=True)
    gone = tuple(replace(one, revoked_at=now) for one in mine if not one.revoked_at)
    if not gone:
        return
    await vault.store.change(Change((_event(vault, Operation.REVOKE, item, editor, "", gone[0], reader),), grants=gone))


async def shred(vault: Vault, item: Item, editor: Editor) -> None:
    """Destroy the vault's share: no copy opens again, wherever it lies. Of a foreign item: refuse it for ever.

    Whoever asks again for what is shredded already has what was asked for, so it is no error: a crash may have come
    between the entry and the share's end. What is held must be released first.
    """
    if item.state == ItemState.HELD:
        raise NotOpened("held", f"{item.id} is held; release it first")
    if item.state == ItemState.LIVE:
        await _allowed(vault, item, editor, "", wider=False)
    family = (item, *(one for one in await attachments(vault, item) if one.state in OPEN_STATES))
    events = tuple(_event(vault, Operation.SHRED, one, editor, one.revocation) for one in family)
    shares = tuple(one.id for one in family if one.revocation == SHRED)
    states = tuple((one.id, ItemState.SHREDDED) for one in family)
    await vault.store.change(Change(events, items=states, shares_of=shares))


async def hold(vault: Vault, item: Item, editor: Editor) -> None:
    """Nobody opens it, and nothing of it is destroyed, until it is released. For administrators."""
    await _state(vault, item, editor, (Operation.HOLD, ItemState.LIVE, ItemState.HELD))


async def release(vault: Vault, item: Item, editor: Editor) -> None:
    """The end of a hold."""
    await _state(vault, item, editor, (Operation.RELEASE, ItemState.HELD, ItemState.LIVE))


async def _state(vault: Vault, item: Item, editor: Editor, move: tuple[Operation, ItemState, ItemState]) -> None:
    operation, before, after = move
    if item.state != before:
        raise UsageError(f"{item.id} is {item.state}; `{operation}` needs one that is {before}")
    if not editor.administrator:
        raise NotOpened("not-administrator", f"{editor.actor.subject} is no administrator")
    family = (item, *(one for one in await attachments(vault, item) if one.state == before))
    events = tuple(_event(vault, operation, one, editor) for one in family)
    await vault.store.change(Change(events, items=tuple((one.id, after) for one in family)))


def _own(item: Item) -> None:
    """Raises UsageError for an attachment, which has no grants of its own."""
    if item.granted_as != item.id:
        raise UsageError(f"{item.id} came with {item.granted_as}: change who may read that, and this follows")


def _later(before: float, after: float) -> bool:
    return bool(before) and (not after or after > before)


async def _allowed(vault: Vault, item: Item, editor: Editor, reader: str, *, wider: bool) -> None:
    if editor.administrator and item.state in OPEN_STATES:
        return
    grants = await vault.store.grants(item.granted_as)
    fault = may_change(item, grants, editor.actor.subject, reader, wider=wider)
    if fault is not None:
        raise NotOpened(fault.word, fault.text)


async def _mine(vault: Vault, item: Item, reader: str, *, must: bool = False) -> list[Grant]:
    mine = [one for one in await vault.store.grants(item.id) if one.reader == reader]
    if must and not mine:
        raise UsageError(f"{reader} has no grant for {item.id}; `mta protected show {item.id}` shows who has")
    return mine


def _event(
    vault: Vault,
    operation: Operation,
    item: Item,
    editor: Editor,
    reason: str = "",
    grant: Grant | None = None,
    reader: str = "",
) -> VaultEvent:
    detail = {"reader": reader or (grant.reader if grant else "")}
    if grant is not None and operation == Operation.GRANT:
        detail["rights"] = " ".join(sorted(grant.rights))
    id = grant.id if grant else ""
    return VaultEvent(
        vault.clock.now(), operation, editor.actor, Result.DONE, reason, item.id, id, item.key, detail=detail
    )
