"""The vault's store (ports.vault.VaultStore) in SQLite: for one machine, whose processes may all use it at once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import apsw

from mta.adapters.sqlite.faults import storage_error
from mta.adapters.vault_sqlite import checkpoints, files, log, rows
from mta.adapters.vault_sqlite.committer import Committer
from mta.adapters.vault_sqlite.reader import Reader
from mta.model.protected import Credential, Epoch, Grant, Item, RootKey, SuperUser, VaultEvent
from mta.ports.vault import NOT_POSTED, Change, ItemFilter, Link, Posted
from mta.ports.vault_log import LogEntry, LogHead, Seen, Watch

T = TypeVar("T")
Random = Callable[[int], bytes]


def open_vault(folder: Path, random: Random = secrets.token_bytes) -> SqliteVault:
    """The vault in this folder, made if there is none. Raises StorageError, or SchemaTooNew for a later version's."""
    try:
        writing, reading = files.open_pair(folder), files.open_pair(folder)
    except (apsw.Error, OSError) as error:
        raise storage_error(error, f"open {folder}") from error
    return SqliteVault(folder, writing, reading, random)


class SqliteVault:
    """Writes in one thread, with one wait for the disk for all that wait together; reads in another."""

    def __init__(self, folder: Path, writing: files.Pair, reading: files.Pair, random: Random) -> None:
        self.folder = folder
        self._random = random
        self._writing, self._reading = writing, reading
        self._committer = Committer(writing, "vault-writer")
        self._reader = Reader(reading, "vault-reader")

    async def seal(
        self, item: Item, share: bytes, grants: tuple[Grant, ...], event: VaultEvent, posted: Posted = NOT_POSTED
    ) -> None:
        """A new item, all or nothing."""

        def remember(db: apsw.Connection) -> None:
            rows.add_item(db, item)
            for part in posted.parts:
                rows.add_item(db, part.item)
            for grant in grants:
                rows.put_grant(db, grant)
            rows.put_links(db, posted.links)
            rows.put_credentials(db, posted.credentials)
            if posted.origin:
                db.execute("INSERT INTO origin VALUES (?, ?)", (posted.origin, item.id))
            log.append(db, (event, *(part.event for part in posted.parts)), self._random)

        def keep(db: apsw.Connection) -> None:
            for one, covered in ((item, share), *((part.item, part.share) for part in posted.parts)):
                db.execute("INSERT INTO share VALUES (?, ?, ?)", (one.wrapped_digest, covered, one.created))

        await self._committer.write(remember, keep if share else None)

    async def put_links(self, *links: Link) -> None:
        """Further ways to grants."""
        await self._committer.write(lambda db: rows.put_links(db, links))

    async def link(self, token_hash: bytes) -> Link | None:
        """The way whose id has this SHA-256."""
        return await self._vault(lambda db: rows.link(db, token_hash))

    async def of_origin(self, origin: bytes) -> Item | None:
        """The item that was made of this message before."""
        where = "id = (SELECT item FROM origin WHERE digest = ?)"
        return await self._vault(lambda db: rows.item_where(db, where, origin))

    async def record(self, *events: VaultEvent) -> int:
        """Write events; the number of the first."""
        return int(await self._committer.write(lambda db: log.append(db, events, self._random)))

    async def change(self, change: Change) -> None:
        """Write a change; then destroy the shares it means, and what remains of them in the files."""
        doomed = await self._committer.write(lambda db: self._change(db, change))
        if doomed:
            await self.destroy_shares(doomed)

    def _change(self, db: apsw.Connection, change: Change) -> list[bytes]:
        for grant in change.grants:
            rows.put_grant(db, grant)
        rows.put_links(db, change.links)
        rows.put_credentials(db, change.credentials)
        rows.forget_credentials(db, change.forgotten)
        for id, state in change.items:
            db.execute("UPDATE item SET state = ? WHERE id = ?", (state.value, id))
        for id, end in change.ends:
            db.execute("UPDATE item SET not_after = ? WHERE id = ?", (end, id))
        for key in change.keys:
            rows.put_key(db, key)
        for epoch in change.epochs:
            rows.put_epoch(db, epoch)
        for leave in change.super_users:
            rows.put_super_user(db, leave)
        log.append(db, change.events, self._random)
        found = (db.execute("SELECT wrapped FROM item WHERE id = ?", (id,)).get for id in change.shares_of)
        return [digest for digest in found if digest is not None]

    async def destroy_shares(self, digests: list[bytes]) -> None:
        """Destroy the shares of these wrapped keys (SHA-256); none is in any file of ours when this returns."""

        def destroy(db: apsw.Connection) -> None:
            for digest in digests:  # overwritten first: the page keeps nothing, whatever becomes of its free space
                db.execute("UPDATE share SET covered = zeroblob(length(covered)) WHERE wrapped = ?", (digest,))
                db.execute("DELETE FROM share WHERE wrapped = ?", (digest,))

        await self._committer.write(lambda _: None, destroy)
        await asyncio.to_thread(files.forget_log, self.folder)

    async def sweep(self, before: float) -> int:
        """Finish what a crash left: shares of ended items, and old ones without an item."""
        count = 0
        while left := await self._read(lambda pair: rows.shares_left_over(pair, before)):
            await self.destroy_shares(left)
            count += len(left)
        return count

    async def renew_shares(self, renew: Callable[[bytes], bytes | None]) -> None:
        """Cover every share anew, some at a time."""
        place: bytes | None = b""
        while place is not None:
            found: list[tuple[bytes, bytes]] = await self._read(partial(rows.shares_after, place))
            await self._committer.write(lambda _: None, partial(rows.cover_anew, found, renew))
            place = found[-1][0] if found else None
        await asyncio.to_thread(files.forget_log, self.folder)

    async def by_wrapped(self, digest: bytes) -> Item | None:
        """The item whose wrapped key has this SHA-256."""
        return await self._vault(lambda db: rows.item_where(db, "wrapped = ?", digest))

    async def asked_for(self, digest: bytes) -> tuple[Item, tuple[Grant, ...], RootKey | None] | None:
        """The item whose wrapped key has this SHA-256, with its grants and its root key."""
        return await self._vault(lambda db: rows.asked_for(db, digest))

    async def item(self, id: str) -> Item | None:
        """The item of this id, or the only one whose id begins so."""
        return await self._vault(lambda db: rows.item_by_prefix(db, id))

    async def find(self, which: ItemFilter) -> list[tuple[Item, int]]:
        """Items, each with how often it was opened."""
        return await self._vault(lambda db: rows.items_found(db, which))

    async def grants(self, item: str) -> tuple[Grant, ...]:
        """All grants of an item."""
        return await self._vault(lambda db: rows.grants_of(db, item))

    async def credentials(self, subject: str) -> tuple[Credential, ...]:
        """By what a reader proves who they are."""
        return await self._vault(lambda db: rows.credentials_of(db, subject))

    async def use_credential(self, before: Credential, after: Credential) -> bool:
        """Replace one that is still as it was."""
        return bool(await self._committer.write(lambda db: rows.use_credential(db, before, after)))

    async def share(self, item: Item) -> bytes | None:
        """The covered share of an item."""
        sql = "SELECT covered FROM share WHERE wrapped = ?"
        found: bytes | None = await self._read(lambda pair: pair[0].execute(sql, (item.wrapped_digest,)).get)
        return found

    async def due(self, now: float, limit: int, *, sealed_before: float = 0.0) -> list[Item]:
        """Live items whose time is over."""
        return await self._vault(lambda db: rows.items_due(db, now, sealed_before, limit))

    async def places(self) -> frozenset[str]:
        """Where the containers of items lie that are not at their end."""
        return await self._vault(rows.places)

    async def root_keys(self) -> tuple[RootKey, ...]:
        """All root keys."""
        return await self._vault(rows.root_keys)

    async def epochs(self) -> tuple[Epoch, ...]:
        """All epochs."""
        return await self._vault(rows.epochs)

    async def super_users(self) -> tuple[SuperUser, ...]:
        """All leaves of the super user."""
        return await self._vault(rows.super_users)

    async def head(self) -> LogHead:
        """The log as it stands."""
        return await self._vault(log.head)

    async def put_checkpoint(self, size: int, note: str) -> None:
        """Keep a signed checkpoint."""
        await self._committer.write(lambda db: checkpoints.put_checkpoint(db, size, note))

    async def checkpoints(self, above: int, limit: int) -> list[str]:
        """The largest checkpoints of more than `above` entries."""
        return await self._vault(lambda db: checkpoints.checkpoints(db, above, limit))

    async def watches(self) -> dict[str, Watch]:
        """What is known of our log's witnesses, by their keys."""
        return await self._vault(checkpoints.watches)

    async def put_watch(self, key: str, watch: Watch | None) -> None:
        """Remember, or forget, a witness."""
        await self._committer.write(lambda db: checkpoints.put_watch(db, key, watch))

    async def witnessed(self) -> dict[str, Seen]:
        """What we cosigned last of each partner's log."""
        return await self._vault(checkpoints.witnessed)

    async def put_witnessed(self, origin: str, before: Seen | None, after: Seen) -> bool:
        """Remember a partner's checkpoint."""
        return bool(await self._committer.write(lambda db: checkpoints.put_witnessed(db, origin, before, after)))

    async def entries(self, start: int, limit: int) -> list[LogEntry]:
        """The log from number `start`."""
        return await self._vault(lambda db: log.entries(db, start, limit))

    async def entries_of(self, item: str, limit: int) -> list[LogEntry]:
        """The first entries of an item."""
        return await self._vault(lambda db: log.entries_of(db, item, limit))

    async def hashes(self, level: int, start: int, count: int) -> list[bytes]:
        """Hashes of the tiles' levels."""
        return await self._vault(lambda db: log.hashes(db, level, start, count))

    async def redact(self, number: int, event: VaultEvent) -> None:
        """Erase what an entry tells."""

        def work(db: apsw.Connection) -> None:
            log.redact(db, number)
            log.append(db, (event,), self._random)

        await self._committer.write(work)

    async def _vault(self, work: Callable[[apsw.Connection], T]) -> T:
        return await self._read(lambda pair: work(pair[1]))

    async def _read(self, work: Callable[[files.Pair], T]) -> T:
        try:
            found: T = await self._reader.read(work)
            return found
        except (apsw.Error, OSError) as error:
            raise storage_error(error, "read the vault") from error

    async def close(self) -> None:
        """Finish what was begun and let go of the files."""
        await asyncio.to_thread(self._committer.close)
        await asyncio.to_thread(self._reader.close)
        for db in (*self._reading, *self._writing):
            db.close()
