"""A disk that is full or broken: nothing is acknowledged, nothing is half, and it heals without a restart."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from mta.adapters.sqlite import SqliteQueueStore, Tuning, open_shard, spool
from mta.adapters.sqlite.faults import storage_error
from mta.errors import LocalProtocolError, StorageError, StorageFull
from tests.support.mail import NOW, queued, settlement


class BrokenDisk(apsw.VFS):
    """Lets `fault` decide before every write and sync of SQLite's."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.name = name
        self.broken: set[str] = set()

    def xOpen(self, name: object, flags: list[int]) -> apsw.VFSFile:
        disk = self

        class File(apsw.VFSFile):
            def __init__(self) -> None:
                super().__init__("", name, flags)  # type: ignore[arg-type]

            def xWrite(self, data: bytes, offset: int) -> None:
                if "write" in disk.broken:
                    raise apsw.FullError("the disk is full")
                super().xWrite(data, offset)

            def xSync(self, flags: int) -> None:
                if "sync" in disk.broken:
                    raise apsw.IOError("the disk says EIO")
                super().xSync(flags)

        return File()


@pytest.fixture
def disk() -> BrokenDisk:
    return BrokenDisk(f"broken-{os.urandom(4).hex()}")


@pytest.fixture
async def store(tmp_path: Path, disk: BrokenDisk) -> AsyncIterator[SqliteQueueStore]:
    store = open_shard(tmp_path / "q", loop=asyncio.get_running_loop(), tuning=Tuning(vfs=disk.name))
    yield store
    disk.broken.clear()
    await store.close()


@pytest.mark.parametrize("fault", ["write", "sync"])
async def test_a_message_the_disk_did_not_take_is_not_taken(
    store: SqliteQueueStore, disk: BrokenDisk, fault: str, tmp_path: Path
) -> None:
    await store.enqueue(queued("before"))
    disk.broken.add(fault)
    with pytest.raises(StorageFull):
        await store.enqueue(queued("m1"), claim=True)
    assert (await store.counts()).states == {"queued": 1}
    disk.broken.clear()
    await store.enqueue(queued("m1"))  # the same id: nothing was left of the first try
    await store.close()
    store = open_shard(tmp_path / "q", loop=asyncio.get_running_loop())
    assert {message.id for message in await store.claim(NOW, 10)} == {"before", "m1"}
    assert store.alarms == []
    await store.close()


async def test_a_settlement_the_disk_did_not_take_may_be_tried_again(store: SqliteQueueStore, disk: BrokenDisk) -> None:
    await store.enqueue(queued("m1"), claim=True)
    disk.broken.add("sync")
    with pytest.raises(StorageFull):
        await store.settle(settlement("m1"))
    disk.broken.clear()
    assert await store.claim(NOW, 10) == []  # still claimed: it was delivered, nobody else may do it again
    await store.settle(settlement("m1"))
    assert (await store.counts()).states == {"delivered": 1}


async def test_what_still_fits_is_taken_when_the_rest_of_the_group_does_not(store: SqliteQueueStore) -> None:
    """The quota is SQLite's own: as many pages as the file has now, and a few."""
    await store.enqueue(queued("m0"))
    pages = store._shard.db.pragma("page_count")
    store._shard.db.pragma("max_page_count", pages + 4)
    store.expect(3)
    large = b"x" * 200_000
    results = await asyncio.gather(
        store.enqueue(queued("large", body=large)),
        store.enqueue(queued("small")),
        store.settle(settlement("m0")),
        return_exceptions=True,
    )
    assert isinstance(results[0], StorageFull)
    assert results[1:] == [None, None]
    assert (await store.counts()).states == {"queued": 1, "delivered": 1}
    store._shard.db.pragma("max_page_count", 1_000_000)
    await store.enqueue(queued("large", body=large))
    assert (await store.counts()).states == {"queued": 2, "delivered": 1}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EROFS, errno.EIO])
async def test_a_spool_on_a_full_disk_says_so_and_the_next_one_works(
    store: SqliteQueueStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def full(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as broken:
        broken.setattr(spool.os, "write", full)
        first = store.spool()
        with pytest.raises(StorageFull, match=os.strerror(number)):
            await first.write(b"x" * 600_000)
        with pytest.raises(StorageFull):
            await first.write(b"x")
        await first.discard()
    assert list(store._shard.content.iterdir()) == []
    second = store.spool()
    await second.write(b"x" * 600_000)
    await store.enqueue(queued("m1", content=second.content(b"x")))
    assert (await store.counts()).octets == 600_000


@pytest.mark.parametrize("call", ["write", "open", "fsync"])
async def test_a_fault_in_the_last_octets_of_a_spool_refuses_the_message(
    store: SqliteQueueStore, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    one = store.spool()
    await one.write(b"x" * 1000)
    with monkeypatch.context() as broken:

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        broken.setattr(spool.os, call, full)
        message = queued("m1", content=one.content(b"x"))
        with pytest.raises(StorageFull):
            await store.enqueue(message)
    await one.discard()
    assert list(store._shard.content.iterdir()) == []
    assert await store.next_due() is None


async def test_a_folder_that_cannot_be_synced_refuses_the_message(
    store: SqliteQueueStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = store.spool()
    await one.write(b"x" * 1000)
    message = queued("m1", content=one.content(b"x"))

    def broken(folder: Path) -> None:
        raise OSError(errno.EIO, f"sync {folder}")

    with monkeypatch.context() as patched:
        patched.setattr("mta.adapters.sqlite.writer.sync_folder", broken)
        with pytest.raises(StorageFull):
            await store.enqueue(message)
    assert await store.next_due() is None
    with pytest.raises(StorageFull):
        await store.enqueue(message)  # whether its name is durable nobody will ever know
    again = store.spool()
    await again.write(b"x" * 1000)
    await store.enqueue(queued("m1", content=again.content(b"x")))
    [found] = await store.claim(NOW, 1)
    assert b"".join([piece async for piece in store.read(found.content)]) == b"x" * 1000


@pytest.mark.parametrize("fault", ["write", "sync"])
async def test_what_the_store_puts_into_a_file_itself_is_let_go_of_when_it_is_not_taken(
    store: SqliteQueueStore, disk: BrokenDisk, fault: str
) -> None:
    disk.broken.add(fault)
    with pytest.raises(StorageFull):
        await store.enqueue(queued("m1", body=b"x" * 3_000_000))
    assert list(store._shard.content.iterdir()) == []
    assert store._spools == {}


async def test_a_spool_that_is_discarded_while_it_is_enqueued_goes_with_the_outcome(
    store: SqliteQueueStore, disk: BrokenDisk
) -> None:
    for name, fault, left in (("m1", "sync", 0), ("m2", "", 1)):
        one = store.spool()
        await one.write(b"x" * 1000)
        disk.broken = {fault} - {""}
        task = asyncio.ensure_future(store.enqueue(queued(name, content=one.content(b"x"))))
        await asyncio.sleep(0)
        await one.discard()
        await asyncio.gather(task, return_exceptions=True)
        assert len(list(store._shard.content.iterdir())) == left


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (apsw.FullError("x"), StorageFull),
        (apsw.IOError("x"), StorageFull),
        (apsw.ReadOnlyError("x"), StorageFull),
        (apsw.CantOpenError("x"), StorageFull),
        (OSError(errno.ENOSPC, "x"), StorageFull),
        (OSError(errno.EACCES, "x"), StorageError),
        (apsw.CorruptError("x"), StorageError),
        (apsw.SQLError("x"), StorageError),
        (LocalProtocolError("x"), LocalProtocolError),
    ],
)
def test_each_fault_of_the_system_has_its_error(fault: Exception, kind: type[Exception]) -> None:
    assert type(storage_error(fault, "try")) is kind


@pytest.mark.parametrize("what", ["a content", "its folder"])
async def test_what_could_not_be_made_durable_once_is_never_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """The kernel forgets pages that it could not write, and says 0 to the next fsync; so nobody asks it again."""
    store = open_shard(tmp_path / "q", loop=asyncio.get_running_loop(), tuning=Tuning(largest_blob=10))
    does, refused = os.fsync, []

    def once(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        if not refused and path.endswith("/content" if what == "its folder" else refusing):
            refused.append(path)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        does(descriptor)

    spools = [store.spool() for _ in range(2)]
    refusing = spools[0].name
    monkeypatch.setattr(os, "fsync", once)
    messages = []
    for number, each in enumerate(spools):
        await each.write(b"Subject: x\r\n\r\nlarge enough")
        messages.append(queued(f"m{number}", content=each.content(b"Subject: x\r\n\r\n")))
    store.expect(3)
    results = await asyncio.gather(
        *(store.enqueue(m) for m in messages), store.enqueue(queued("small", body=b"x")), return_exceptions=True
    )
    spoilt = results[: 1 if what == "a content" else 2]
    assert refused
    assert all(isinstance(each, StorageFull) for each in spoilt)
    assert all(each is None for each in results[len(spoilt) :])
    with pytest.raises(StorageFull):
        await store.enqueue(messages[0])
    await store.close()
