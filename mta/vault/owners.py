"""What senders see of their items and do with them: who opened what, send again, let others read, be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mta.contract.protection import Label
from mta.errors import NotOpened, UsageError
from mta.model.protected import Actor, Grant, Item, ItemState, VaultEvent
from mta.model.rights import Right
from mta.observe.vault_events import Operation, Result
from mta.policy.channel import known_channels, without_channel
from mta.policy.protect import refused_reader
from mta.ports.mail_vault import Invitation, Post
from mta.ports.vault import ItemFilter
from mta.rfc.mime.text import address_value
from mta.vault.grants import Editor, grant
from mta.vault.history import history
from mta.vault.mail import new_links
from mta.vault.notice import Notice, compose_notice
from mta.vault.sessions import Proven
from mta.vault.vault import Vault

_OPENINGS = frozenset({Operation.OPEN, Operation.REWRAP})
_MOST_EVENTS = 10_000
MOST_SHOWN = 50  # items of one page


@dataclass(frozen=True, slots=True)
class ReaderRow:
    """One reader of an item. `opened` counts openings; times are epoch seconds, 0: never. `asks`: wants it again."""

    grant: Grant
    opened: int = 0
    first: float = 0.0
    last: float = 0.0
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Overview:
    """An item as its owner sees it."""

    item: Item
    label: Label | None
    readers: tuple[ReaderRow, ...]
    events: list[dict[str, Any]] = field(repr=False)
    files: tuple[tuple[Item, int], ...] = ()  # attachments that are items of their own, each with its openings

    @property
    def asking(self) -> tuple[str, ...]:
        """Who asks for it."""
        return tuple(row.grant.reader for row in self.readers if row.asks)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who we are in a notice that is sent again."""

    portal: str  # URL
    hostname: str
    postmaster: str
    author: str = ""  # who is named, if it is not the owner: a reader who answers or passes it on


async def owned(vault: Vault, owner: str, before: float) -> list[tuple[Item, int]]:
    """What an owner has protected, the newest first, each with how often it was opened; one more than is shown."""
    which = ItemFilter(owner=owner, newest_before=before, limit=MOST_SHOWN + 1)
    return await vault.store.find(which)


async def own_item(vault: Vault, owner: str, id: str) -> Item:
    """An item of this owner. Raises NotOpened, the same for others' items and for none."""
    item = await vault.store.item(id)
    if item is None or item.owner != owner or item.id != id:
        raise NotOpened("not-owner", f"{owner} owns no item {id}")
    return item


async def overview(vault: Vault, owner: str, id: str) -> Overview:
    """All that an owner may know of an item. Raises NotOpened."""
    item = await own_item(vault, owner, id)
    events = await history(vault, item.id, _MOST_EVENTS)
    grants = await vault.store.grants(item.id)
    rows = tuple(_row(one, events) for one in grants if one.reader != item.owner)
    files = tuple(await vault.store.find(ItemFilter(parent=item.id)))
    return Overview(item, vault.protection.labels.get(item.label), rows, events, files)


def _row(one: Grant, events: list[dict[str, Any]]) -> ReaderRow:
    """What the log tells of a reader; a grant for a whole domain has the openings that went by it."""
    mine = [event for event in events if event.get("grant") == one.id or event.get("reader") == one.reader]
    opened = [event["time"] for event in mine if event["op"] in _OPENINGS and event["result"] == Result.PERMITTED]
    asked = [event["seq"] for event in mine if event["op"] == Operation.ASK]
    given = [event["seq"] for event in mine if event["op"] in (Operation.GRANT, Operation.EXTEND)]
    asks = bool(asked) and max(asked) > max(given, default=-1)
    return ReaderRow(one, len(opened), min(opened, default=0.0), max(opened, default=0.0), asks)


async def let_read(vault: Vault, item: Item, reader: str, editor: Editor) -> None:
    """Let one more reader in, or one whose grant was taken back. Raises NotOpened, UsageError: why not."""
    label = vault.protection.labels.get(item.label)
    if label is not None:
        numbers = vault.protection.sms.numbers if vault.protection.sms else {}
        fault = refused_reader(label, reader, vault.ours) or without_channel(
            label, reader, known_channels(reader, numbers, "")
        )
        if fault is not None:
            raise UsageError(fault.reason)
    if item.state != ItemState.LIVE or _is_over(vault, item):
        raise UsageError(f"{item.id} is over, or held: nobody opens it any more")
    rights = next((one.rights for one in await vault.store.grants(item.id) if one.reader == reader), frozenset())
    await grant(vault, item, reader, rights or (label.rights if label else frozenset({Right.VIEW})), editor)


def _is_over(vault: Vault, item: Item) -> bool:
    return bool(item.not_after) and vault.clock.now() >= item.not_after


async def notice_again(vault: Vault, item: Item, reader: str, actor: Actor, sender: Sender) -> bytes:
    """A notice with a fresh link for a reader who has a grant; the log says so. Raises UsageError where there is none.

    Links that were sent before go on working: they lead to the same grant.
    """
    grants = [one for one in await vault.store.grants(item.id) if one.reader == reader and not one.revoked_at]
    if not grants or "@" not in reader[1:]:
        raise UsageError(f"{reader} has no grant for {item.id} that a notice could tell of")
    links, ways = new_links(vault, grants[:1])
    await vault.store.put_links(*links)
    event = VaultEvent(
        vault.clock.now(),
        Operation.INVITE,
        actor,
        Result.DONE,
        item=item.id,
        grant=grants[0].id,
        detail={"reader": reader},
    )
    await vault.store.record(event)
    label = vault.protection.labels.get(item.label) or Label(item.label)
    invitation = Invitation(reader, reader, vault.new_id())
    return compose_notice(
        Notice(_post(vault, item, reader, sender), item, label, invitation, ways[reader], sender.portal)
    )


def _post(vault: Vault, item: Item, reader: str, sender: Sender) -> Post:
    """As the first notice had it: from the owner, where their domain is ours."""
    is_ours = item.owner.rpartition("@")[2] in vault.ours and not sender.author
    field_ = f"From: <{address_value(item.owner if is_ours else sender.postmaster)}>\r\n".encode()
    return Post(
        message_id="",
        label=item.label,
        owner=item.owner,
        readers=(reader,),
        subject=item.name,
        author=sender.author or item.owner,
        from_field=field_,
        date=vault.clock.now(),
        host=sender.hostname,
    )


async def ask_owner(vault: Vault, who: Proven, actor: Actor) -> Item:
    """A reader whose time is over asks for it again; written down. Raises NotOpened."""
    item = await vault.store.item(who.item)
    if item is None:
        raise NotOpened("unknown-item", "there is no such item")
    event = VaultEvent(
        vault.clock.now(),
        Operation.ASK,
        actor,
        Result.DONE,
        item=item.id,
        grant=who.grant,
        detail={"reader": who.reader},
    )
    await vault.store.record(event)
    return item


def first_time(events: list[Mapping[str, Any]] | list[dict[str, Any]]) -> bool:
    """Whether a reader of whom these entries tell has never opened the item before."""
    return not any(event["op"] in _OPENINGS and event["result"] == Result.PERMITTED for event in events)
