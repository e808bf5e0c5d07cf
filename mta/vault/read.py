"""A proven reader reads: every page of it is judged anew and written down before a key is used.

A content key stays at hand for at most five minutes, for one session and one item, so that a page with its pictures is
one use of the root key; what is served by it says so in the log.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from dataclasses import dataclass, field, replace
from typing import Any

from mta.errors import NotOpened, StorageError
from mta.model.protected import Actor, Grant, Item, VaultEvent
from mta.model.rights import Right
from mta.observe.vault_events import Operation, Result
from mta.policy.reader import Asked, Permission, Refusal, judge
from mta.rfc.mime.shown import ShownFile, show
from mta.rfc.tdf.open import Protected, read_protected, unlock
from mta.vault.attachments import attachments, file_item
from mta.vault.log import receipt
from mta.vault.open import OpenRequest, open_key, permit_again
from mta.vault.sessions import Proven
from mta.vault.vault import Vault

KEPT = 300.0  # seconds that a content key is at hand
_MOST_ENTRIES = 10_000


@dataclass(frozen=True, slots=True)
class Wish:
    """Who wants what: `session` names the browser's session, `operation` stands in the log."""

    who: Proven
    session: str
    operation: Operation
    wants: Right
    actor: Actor


@dataclass(frozen=True, slots=True)
class Read:
    """A message in clear, and what its reader may do."""

    data: bytes = field(repr=False)
    rights: frozenset[Right] = frozenset()
    entry: int = -1
    media_type: str = ""  # as it stood in the mail


@dataclass(frozen=True, slots=True)
class Standing:
    """How it stands with an item for one reader; nothing was opened to learn it."""

    item: Item
    grants: tuple[Grant, ...]
    permission: Permission

    @property
    def others(self) -> tuple[str, ...]:
        """The other readers whom this one may see."""
        mine = self.permission.grant.reader if self.permission.grant else ""
        shown = (one for one in self.grants if not one.hidden and not one.revoked_at)
        return tuple(dict.fromkeys(one.reader for one in shown if one.reader not in (mine, self.item.owner)))

    @property
    def until(self) -> float:
        """When it ends for this reader; 0: never."""
        ends = [self.item.not_after, self.permission.grant.not_after if self.permission.grant else 0.0]
        return min((end for end in ends if end), default=0.0)


class Readings:
    """What the readers of one portal read."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._keys: dict[tuple[bytes, str], bytes] = {}

    async def standing(self, who: Proven, wants: Right = Right.VIEW) -> Standing:
        """Whether the reader may do this now. Raises NotOpened for an item that there is not."""
        vault = self._vault
        item = await vault.store.item(who.item)
        key = await vault.root_key(item.key) if item else None
        if item is None or key is None:
            raise NotOpened(Refusal.UNKNOWN_ITEM, "there is no such item")
        grants = await vault.store.grants(item.granted_as)
        asked = Asked(who.reader, wants, vault.clock.now())
        return Standing(item, grants, judge(item, grants, key.state, asked, vault.ours))

    async def read(self, wish: Wish) -> Read:
        """The message. Raises NotOpened, TdfError, KeyAway and StorageError (the last two: later)."""
        standing = await self.standing(wish.who, wish.wants)
        container = await self.container(standing.item)
        protected = read_protected(io.BytesIO(container))
        request = _request(protected, wish)
        place = _place(wish)
        kept = self._keys.get(place) if wish.operation == Operation.READ else None
        if kept is not None:
            rights, entry = await permit_again(self._vault, request)
        else:
            opened = await open_key(self._vault, request)
            kept, rights, entry = opened.content_key, opened.rights, opened.entry
            self._keep(place, kept)
        data = await asyncio.to_thread(_payload, protected, kept)
        return Read(data, rights, entry, protected.manifest.mime_type)

    async def read_file(self, wish: Wish, number: int) -> tuple[Read, ShownFile]:
        """A file of the mail by its place, as the item that it is; a few open with the mail alone.

        Raises NotOpened where there is none, and what `read` does.
        """
        item = await file_item(self._vault, wish.who.item, number)
        if item is None:
            read = await self.read(wish)
            files = (await asyncio.to_thread(show, read.data)).files
            if number >= len(files):
                raise NotOpened(Refusal.NO_RIGHT, "there is no such file")
            return read, files[number]
        of_file = replace(wish, who=replace(wish.who, item=item.id))
        if wish.operation == Operation.READ and _place(of_file) not in self._keys:
            of_file = replace(of_file, operation=Operation.OPEN)  # the first look at a file opens it
        read = await self.read(of_file)
        return read, ShownFile(read.media_type, item.name, read.data)

    async def container(self, item: Item) -> bytes:
        """The sealed container of an item. Raises StorageError."""
        return await asyncio.to_thread(self._container, item.place)

    def _container(self, place: str) -> bytes:
        try:
            with self._vault.containers.open(place) as file:
                return file.read()
        except OSError as error:
            raise StorageError(f"the container of an item cannot be read: {error.strerror}") from error

    async def tell(self, wish: Wish, **detail: str) -> int:
        """Write down what needs no key, before it is done. Raises StorageError: then it must not be done."""
        standing = await self.standing(wish.who, wish.wants)
        grant, now = standing.permission.grant, self._vault.clock.now()
        event = VaultEvent(
            now,
            wish.operation,
            wish.actor,
            Result.PERMITTED,
            item=wish.who.item,
            grant=grant.id if grant else "",
            key=standing.item.key,
            detail={"reader": wish.who.reader, "wants": wish.wants.value, **detail},
        )
        return await self._vault.store.record(event)

    async def note_refusal(self, wish: Wish, standing: Standing) -> None:
        """Write down what was refused before a key was asked for."""
        permission = standing.permission
        event = VaultEvent(
            self._vault.clock.now(),
            wish.operation,
            wish.actor,
            Result.REFUSED,
            f"{permission.refusal}: {permission.reason}",
            wish.who.item,
            key=standing.item.key,
            detail={"reader": wish.who.reader, "wants": wish.wants.value},
        )
        await self._vault.store.record(event)

    async def own_log(self, who: Proven) -> list[dict[str, Any]]:
        """What this reader did with the item and what came with it (`file` is its name), oldest first."""
        told: list[dict[str, Any]] = []
        item = await self._vault.store.item(who.item)
        for one in (item, *await attachments(self._vault, item)) if item else ():
            entries = await self._vault.store.entries_of(one.id, _MOST_ENTRIES)
            about = {"file": one.name} if one.id != who.item else {}
            told += [{**json.loads(entry.story), **about} for entry in entries if entry.story]
        return sorted((one for one in told if _is_of(one, who.reader)), key=lambda one: int(one["seq"]))

    async def own_receipt(self, who: Proven, number: int) -> bytes:
        """The receipt of an entry of this reader's. Raises NotOpened for everybody else's."""
        if all(event["seq"] != number for event in await self.own_log(who)):
            raise NotOpened(Refusal.NO_RIGHT, "this entry is of another reader")
        return await receipt(self._vault, number)

    def forget(self, session: str) -> None:
        """Let go of the keys of a session."""
        digest = hashlib.sha256(session.encode()).digest()
        for place in [place for place in self._keys if place[0] == digest]:
            del self._keys[place]

    def _keep(self, place: tuple[bytes, str], key: bytes) -> None:
        self._keys[place] = key
        asyncio.get_running_loop().call_later(KEPT, self._drop, place, key)

    def _drop(self, place: tuple[bytes, str], key: bytes) -> None:
        if self._keys.get(place) is key:  # a later opening has a time of its own
            del self._keys[place]


def _place(wish: Wish) -> tuple[bytes, str]:
    return hashlib.sha256(wish.session.encode()).digest(), wish.who.item


def _request(protected: Protected, wish: Wish) -> OpenRequest:
    manifest, who = protected.manifest, wish.who
    return OpenRequest(
        manifest.keys[0],
        manifest.policy,
        who.reader,
        wish.wants,
        wish.operation,
        wish.actor,
        channels=who.channels,
    )


def _payload(protected: Protected, key: bytes) -> bytes:
    return b"".join(unlock(protected, key).chunks())


def _is_of(event: dict[str, Any], reader: str) -> bool:
    return reader in (event.get("subject"), event.get("reader"))
