"""The queue of one worker, kept in one SQLite file: `ports.QueueStore` over the writer thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from mta.adapters.queue_rows import event_out
from mta.adapters.sqlite import changes, commands, damage, queries
from mta.adapters.sqlite.alarms import Alarms
from mta.adapters.sqlite.claims import Claims
from mta.adapters.sqlite.faults import Unreadable
from mta.adapters.sqlite.rows import Incoming, IncomingForm, StoredContent, give_back, prepare, prepare_form
from mta.adapters.sqlite.shard import OpenShard, open_folder
from mta.adapters.sqlite.spool import FileSpool, Room, pieces, read_head, verify
from mta.adapters.sqlite.waiting import WaitingRecipients
from mta.adapters.sqlite.work import Tuning
from mta.adapters.sqlite.writer import Writer
from mta.errors import LocalProtocolError, StorageError
from mta.model.lifecycle import STATES
from mta.model.message import Content, NewForm, QueuedMessage
from mta.observe import events
from mta.ports import (
    Event,
    QueueCommand,
    QueueCounts,
    QueueFilter,
    Settlement,
    TraceRecord,
)


def open_shard(
    folder: Path,
    *,
    loop: asyncio.AbstractEventLoop,
    tuning: Tuning | None = None,
    alarm: Callable[[str], None] | None = None,
) -> SqliteQueueStore:
    """Own and open the queue in `folder`, making it if there is none. Blocks; meant for before the loop serves.

    Raises ShardLocked, SchemaTooNew or StorageError. A damaged file is set aside. Whatever damage is found, now or
    later, `alarm` is called on the loop with words for the administrator; `alarms` keeps them.
    """
    tuning, alarms = tuning or Tuning(), Alarms(loop, alarm)
    shard = open_folder(folder, tuning)
    for text in shard.alarms:
        alarms.sound(text)
    return SqliteQueueStore(shard, alarms, tuning)


class SqliteQueueStore(WaitingRecipients):
    """One shard. Its coroutines belong to the loop it was opened for; only claims live in memory alone."""

    def __init__(self, shard: OpenShard, alarms: Alarms, tuning: Tuning) -> None:
        self._shard = shard
        self._alarms = alarms
        self._tuning = tuning
        self._writer = Writer(shard.db, shard.content, alarms, tuning)
        self._room = Room(shard.content, tuning.reserve, self._spare)
        self._files = ThreadPoolExecutor(4, thread_name_prefix="queue-file")
        self._spools: dict[str, FileSpool] = {}  # those that became content, by path
        self._claims = Claims()

    @property
    def commits(self) -> int:
        """Transactions made durable so far, one fsync each."""
        return self._writer.commits

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self._shard.folder

    @property
    def alarms(self) -> list[str]:
        """What an administrator must know of: damage found, in words."""
        return self._alarms.texts

    def expect(self, change: int) -> None:
        """So many sessions more (or fewer) are between MAIL and the reply to their message."""
        self._writer.siblings += change

    # --- taking mail ---------------------------------------------------------------------------------------------

    def spool(self) -> FileSpool:
        """Where a large message goes while it arrives."""
        return FileSpool(self._shard.content, self._files, self._spools, self._room)

    async def enqueue(self, message: QueuedMessage, *, claim: bool = False) -> None:
        """Take responsibility for a message. Raises StorageFull or StorageError: then nothing was taken."""
        if not self._room.ample:
            await self._room.require()
        incoming = prepare(message, None) if self._is_small(message.content) else await self._prepare(message)
        after = partial(self._claim_new, incoming) if claim else None
        try:
            work = self._writer.write(
                partial(changes.insert_message, incoming=incoming),
                "take a message",
                urgent=True,
                quick=incoming.spool is None,
                after=after,
                abandoned=partial(self._abandoned, (incoming,)),
            )
            await work
        except asyncio.CancelledError:  # whoever gave up waiting does not deliver it either
            if not work.cancelled():
                self._abandoned((incoming,), failed=work.exception() is not None)
            raise
        except BaseException:
            give_back(incoming)
            raise

    def _is_small(self, content: Content) -> bool:
        return content.data is not None and len(content.data) <= self._tuning.largest_blob

    async def _spare(self) -> int:
        """Octets of the queue's files that are in use no more and will be used again."""
        spare: int = await self._writer.read(queries.spare, "look for free space")
        return spare

    async def _prepare(self, message: QueuedMessage) -> Incoming:
        content, spool = await self._placed(message.content, message.id)
        try:
            return prepare(replace(message, content=content) if content is not message.content else message, spool)
        except BaseException:
            if spool:
                spool.give_back()
            raise

    async def _prepare_form(self, form: NewForm, message_id: str) -> IncomingForm:
        content, spool = await self._placed(form.content, message_id)
        try:
            return prepare_form(form, content, spool)
        except BaseException:
            if spool:
                spool.give_back()
            raise

    async def _placed(self, content: Content, message_id: str) -> tuple[Content, FileSpool | None]:
        """A content where it shall stay: small ones in memory, others as a spool that is taken now."""
        ours = content.data is not None and len(content.data) > self._tuning.largest_blob
        if ours:
            content = await self._to_file(content.data or b"")
        if content.path is None:
            return content, None
        spool = self._spools.pop(content.path, None)
        if spool is None:
            raise LocalProtocolError(f"message {message_id}: its content is no finished spool of this queue")
        try:
            spool.take()
        finally:
            if ours:  # nobody else knows of it: it goes unless it becomes the queue's
                await spool.discard()
        return content, spool

    async def _to_file(self, data: bytes) -> Content:
        spool = self.spool()
        try:
            await spool.write(data)
        except BaseException:
            await spool.discard()
            raise
        end = data.find(b"\r\n\r\n")
        return spool.content(data if end < 0 else data[: end + 4])

    async def _prepare_change(self, settlement: Settlement) -> changes.Change:
        history = tuple(event_out(event) for event in settlement.events)
        notices: list[Incoming] = []
        forms: list[IncomingForm] = []
        try:
            for message in settlement.notices:
                notices.append(await self._prepare(message))
            for form in settlement.forms:
                forms.append(await self._prepare_form(form, settlement.message_id))
        except BaseException:
            give_back(*notices, *forms)
            raise
        seq = self._claims.number(settlement.message_id)
        return changes.Change(settlement, history, tuple(notices), tuple(forms), seq)

    def _claim_new(self, incoming: Incoming, seq: int) -> None:
        if incoming.queued:
            self._claims.grant(incoming.id, seq, incoming.queued)

    def _abandoned(self, incoming: tuple[Incoming | IncomingForm, ...], failed: bool) -> None:
        for message in incoming:
            if failed:
                give_back(message)
            elif isinstance(message, Incoming):
                self._claims.release(message.id)

    # --- giving it away ------------------------------------------------------------------------------------------

    async def claim(self, now: float, limit: int) -> list[QueuedMessage]:
        """Due messages, earliest first; `states` holds only the due recipients. Damaged ones are held instead."""
        self._claims.ask_again(now)
        run = partial(queries.pick_due, now=now, limit=limit, claims=self._claims.places)
        work = self._writer.read(run, "look for due messages", after=self._grant_all)
        try:
            picked: list[queries.Picked] = await asyncio.shield(work)
            return [message for pick in picked if (message := await self._whole(pick, now))]
        except BaseException:
            work.add_done_callback(self._claim_abandoned)
            raise

    def _grant_all(self, picked: list[queries.Picked]) -> None:
        for pick in picked:
            self._claims.grant(pick.message.id, pick.seq, pick.indices)

    async def _whole(self, picked: queries.Picked, now: float) -> QueuedMessage | None:
        """The message with its content checked to the last octet; None if it had to be held, or is asked for again."""
        fault, files = picked.fault, {}
        try:
            if picked.unreadable:
                raise Unreadable(fault)
            for number, stored in picked.stored.items():
                fault = fault or await self._verified(stored)
                if not fault:
                    files[number] = await self._file(stored)
        except Unreadable as error:
            if self._claims.put_off(picked.message.id, now):
                return None
            fault = str(error)
        if fault:
            await self._quarantine(picked, now, fault)
            return None
        self._claims.sound(picked.seq)
        message = picked.message
        if not files:
            return message
        forms = tuple(replace(form, content=files.get(form.number, form.content)) for form in message.forms)
        return replace(message, content=files.get(0, message.content), forms=forms)

    async def _verified(self, stored: StoredContent) -> str:
        path = self._shard.content / (stored.file or "")
        run = asyncio.get_running_loop().run_in_executor
        return await run(self._files, verify, path, stored.size, stored.crc)

    async def _file(self, stored: StoredContent) -> Content:
        path = self._shard.content / (stored.file or "")
        head = await asyncio.get_running_loop().run_in_executor(self._files, read_head, path, stored.head_size)
        return Content(stored.size, path=str(path), head=head)

    async def _quarantine(self, picked: queries.Picked, now: float, fault: str) -> None:
        why = f"damaged: {fault}; held, nothing of it was sent"
        self._alarms.sound(f"{self._shard.folder}: message {picked.message.id} is {why}")
        event = Event(now, events.MESSAGE_QUARANTINED, {"reason": fault})
        run = partial(damage.quarantine, seq=picked.seq, event=event, why=why)
        try:
            await self._writer.write(run, "hold a damaged message", urgent=False)
        except StorageError:
            return  # it stays claimed: never sent, in nobody's way, and looked at again after a restart
        self._claims.release(picked.message.id)

    def _claim_abandoned(self, work: asyncio.Future[list[queries.Picked]]) -> None:
        if not work.cancelled() and work.exception() is None:
            for pick in work.result():
                self._claims.release(pick.message.id)

    async def settle(self, settlement: Settlement) -> None:
        """Write fates, events and notices in one transaction and release the claim on these recipients."""
        change = await self._prepare_change(settlement)
        incoming: tuple[Incoming | IncomingForm, ...] = (*change.notices, *change.forms)
        try:
            work = self._writer.write(
                partial(changes.apply_settlement, change=change),
                "record a delivery",
                urgent=False,
                quick=all(message.spool is None for message in incoming),
                after=partial(self._settled, settlement),
                abandoned=partial(self._abandoned, incoming),
            )
            await work
        except asyncio.CancelledError:
            if not work.cancelled():
                self._abandoned(incoming, failed=work.exception() is not None)
            raise
        except BaseException:
            give_back(*incoming)
            raise

    def _settled(self, settlement: Settlement, seq: int) -> None:
        if not settlement.by_operator:
            self._claims.settled(settlement.message_id, seq, frozenset([fate.index for fate in settlement.fates]))

    async def release_claim(self, message_id: str) -> None:
        """Give a claim back untouched."""
        self._claims.release(message_id)

    async def next_due(self) -> float | None:
        """When the earliest unclaimed recipient is due; None: nothing waits."""
        due: float | None = await self._writer.read(
            partial(queries.next_due, claims=self._claims.places), "look for the next message"
        )
        doubt = self._claims.next_doubt()
        return min(due, doubt) if due is not None and doubt is not None else due if doubt is None else doubt

    def read(self, content: Content) -> AsyncIterator[bytes]:
        """The content in pieces of at most 256 KiB. Raises StorageError if it is not all there."""
        return pieces(content, self._files)

    # --- looking at it -------------------------------------------------------------------------------------------

    async def search(self, which: QueueFilter) -> list[QueuedMessage]:
        """Messages with any undelivered recipient, oldest first; content without its bytes."""
        return [message async for page in self.browse(which) for message in page]

    async def browse(self, which: QueueFilter) -> AsyncIterator[list[QueuedMessage]]:
        """The same in pages, so that many need no room."""
        async for page in queries.pages(self._writer, which, undelivered=True):
            yield [record.message for record in page]

    async def trace(self, which: QueueFilter) -> list[TraceRecord]:
        """Messages, delivered ones too, with their history, newest first."""
        pages = queries.pages(self._writer, which, undelivered=False)
        return [record async for page in pages for record in page]

    def change(self, command: QueueCommand) -> AsyncIterator[list[str]]:
        """Carry out a command, some hundred messages in one transaction; the ids of each, once that is durable."""
        return commands.windows(self._writer, command)

    async def counts(self) -> QueueCounts:
        """Recipients in each state, and octets of undelivered content, as of the last commit."""
        counters = self._writer.counters
        states = {name: value for name, value in counters.items() if name in STATES and value}
        return QueueCounts(states, counters.get(changes.OCTETS, 0))

    async def purge(self, before: float, limit: int = 1000) -> int:
        """Forget the history of up to `limit` messages that ended before `before`; how many were forgotten."""
        run = partial(changes.purge, before=before, limit=limit, claimed=self._claims.places)
        forgotten: int = await self._writer.write(run, "forget old messages", urgent=False)
        return forgotten

    async def close(self) -> None:
        """Finish what was begun and let go of the files."""
        await self._writer.close()
        self._files.shutdown()
        self._shard.unlock()
