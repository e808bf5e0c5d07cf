"""Whatever is lost of a queue, no body of acknowledged mail is deleted, and what is sound goes on."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path
from random import Random

import apsw
import pytest

from mta.adapters.sqlite import SqliteQueueStore, envelopes, open_shard, rescue
from mta.adapters.sqlite.salvage import salvage
from mta.adapters.sqlite.work import Tuning
from mta.model.message import QueuedMessage
from mta.ports import QueueFilter
from tests.support.mail import NOW, queued, settlement

NAMES = [f"1a22e8f00-{number:02d}" for number in range(10)]
LARGE = {name for name in NAMES if int(name[-2:]) % 3 == 0}


def body_of(name: str) -> bytes:
    return b"Subject: %s\r\n\r\n" % name.encode() + Random(name).randbytes(400_000 if name in LARGE else 700)


def reopen(folder: Path) -> SqliteQueueStore:
    return open_shard(folder, loop=asyncio.get_running_loop())


async def filled(folder: Path) -> None:
    """Ten messages, four of them large; then as if the process had been killed: the log is there still."""
    store = reopen(folder)
    for name in NAMES:
        message = queued(name, f"{name}@contoso.example", body=body_of(name))
        if name in LARGE:
            spool = store.spool()
            await spool.write(body_of(name))
            message = queued(name, f"{name}@contoso.example", content=spool.content(body_of(name)[:25]))
        await store.enqueue(message)
    killed = folder.with_name("killed")
    shutil.copytree(folder, killed, ignore=shutil.ignore_patterns("lock"))
    await store.close()
    shutil.rmtree(folder)
    killed.rename(folder)


async def settled(folder: Path) -> None:
    """Close it in order: everything is in the database, there is no log."""
    await filled(folder)
    await reopen(folder).close()


async def delivered(store: SqliteQueueStore) -> set[str]:
    found: set[str] = set()
    while True:
        messages: list[QueuedMessage] = await store.claim(NOW, 50)
        for message in messages:
            assert b"".join([piece async for piece in store.read(message.content)]) == body_of(message.id)
            assert message.id not in found
            found.add(message.id)
        await asyncio.gather(*(store.settle(settlement(message.id)) for message in messages))
        if not messages:
            return found


def bodies(folder: Path) -> list[Path]:
    return [path for place in folder.glob("content*") for path in place.iterdir()]


@pytest.mark.parametrize("how", ["gone", "empty"])
async def test_beside_a_queue_that_is_gone_no_body_is_deleted(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "q"
    await settled(folder)
    if how == "gone":
        (folder / "queue.db").unlink()
    else:
        os.truncate(folder / "queue.db", 0)
    for round_ in (1, 2):
        store = reopen(folder)
        assert len(store.alarms) == (round_ == 1)
        assert await store.search(QueueFilter()) == []
        await store.close()
        assert len(list((folder / "content.corrupt-1").iterdir())) == len(LARGE)
    kept = [envelopes.read(path) for path in (folder / "envelope.corrupt-1").iterdir()]
    assert {(each.id, str(each.envelope.recipients[0].mailbox)) for each in kept if each} == {
        (name, f"{name}@contoso.example") for name in LARGE
    }


async def test_a_queue_that_is_gone_comes_back_from_its_log(tmp_path: Path) -> None:
    folder = tmp_path / "q"
    await filled(folder)
    (folder / "queue.db").unlink()
    store = reopen(folder)
    [alarm] = store.alarms
    assert "made anew from its log" in alarm
    assert (folder / "queue.db-wal.damaged-1").exists()
    assert await delivered(store) == set(NAMES)
    await store.close()


async def test_an_older_queue_put_in_place_of_a_newer_one_deletes_no_body(tmp_path: Path) -> None:
    folder = tmp_path / "q"
    await reopen(folder).close()
    old = (folder / "queue.db").read_bytes()
    shutil.rmtree(folder)
    await settled(folder)
    (folder / "queue.db").write_bytes(old)
    store = reopen(folder)
    [alarm] = store.alarms
    assert f"{len(LARGE)} bodies" in alarm
    assert len(list((folder / "content.corrupt-1").iterdir())) == len(LARGE)
    await store.close()


async def test_what_was_never_acknowledged_or_has_ended_is_removed_as_ever(tmp_path: Path) -> None:
    folder = tmp_path / "q"
    await settled(folder)
    store = reopen(folder)
    await store.settle(settlement(NAMES[0]))
    kept = next(path for path in (folder / "content").iterdir())
    (folder / "content" / "half").write_bytes(b"a message of which half arrived")
    (folder / "envelope" / "old").write_bytes(b"of a content that is gone")
    await store.close()
    db = apsw.Connection(str(folder / "queue.db"))
    [name] = [str(name) for (name,) in db.execute("SELECT file FROM message WHERE ended IS NOT NULL")]
    db.close()
    for place in ("content", "envelope"):  # as if they could not be removed then
        (folder / place / name).write_bytes(b"the message that has ended")
    store = reopen(folder)
    assert store.alarms == []
    assert kept.exists()
    assert len(bodies(folder)) == len(LARGE) - 1 == len(list((folder / "envelope").iterdir()))
    assert await delivered(store) == set(NAMES[1:])
    assert bodies(folder) == list((folder / "envelope").iterdir()) == []
    await store.close()


@pytest.mark.parametrize("seed", range(30))
async def test_random_octets_of_the_files_cost_no_sound_mail(tmp_path: Path, seed: int) -> None:
    """Whatever they hit: what is delivered is as it came, all bodies are there, and nearly everything leaves."""
    folder, random = tmp_path / "q", Random(seed)
    await (filled if seed % 3 == 0 else settled)(folder)
    target = folder / ("queue.db-wal" if seed % 3 == 0 else "queue.db")
    data = bytearray(target.read_bytes())
    for _ in range(random.randrange(1, 4)):
        size = random.choice((1, 1, 30))
        start = random.randrange(len(data) - size)
        data[start : start + size] = random.randbytes(size)
    target.write_bytes(data)
    store = reopen(folder)
    damaged = bool(store.alarms)
    left = await delivered(store)
    waiting = {message.id for message in await store.search(QueueFilter())}
    await store.close()
    lost = set(NAMES) - left - waiting
    assert not lost or damaged
    if seed % 3 == 0:
        assert not lost
    gone = {body_of(name) for name in LARGE & left}
    assert {path.read_bytes() for path in bodies(folder)} >= {body_of(name) for name in LARGE} - gone
    assert len(left) >= len(NAMES) - 4, store.alarms


@pytest.mark.parametrize(
    "damage",
    [
        "sql = replace(sql, 'seq', 'sex') WHERE name = 'message'",
        "sql = replace(sql, 'queued', 'qveued') WHERE name = 'recipient_due'",
        "sql = 'no SQL at all' WHERE name = 'event'",
        "name = 'formz' WHERE name = 'form'",
        "tbl_name = 'x', type = 'tablf' WHERE name = 'content'",
    ],
)
async def test_a_damaged_definition_of_a_table_is_restored(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "q"
    await settled(folder)
    db = apsw.Connection(str(folder / "queue.db"))
    db.config(apsw.SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1)
    db.execute(f"UPDATE sqlite_schema SET {damage}")
    db.close()
    store = reopen(folder)
    assert "were restored" in store.alarms[0]
    assert await delivered(store) == set(NAMES)
    await store.close()
    store = reopen(folder)
    assert store.alarms == []
    await store.close()


class Killed(BaseException):
    """The process ends here."""


async def opened_after_kills(folder: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, SqliteQueueStore]:
    """Killed before the rename with this number, twice, and opened then; how many renames there were before."""
    rename, seen = Path.rename, 0

    def dying(self: Path, target: Path) -> Path:
        nonlocal seen
        seen += 1
        if seen == step:
            raise Killed
        return rename(self, target)

    for _ in range(2):
        seen = 0
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", dying)
            try:
                await reopen(folder).close()
            except Killed:
                continue
    return seen, reopen(folder)


@pytest.mark.parametrize("step", range(1, 20))
async def test_whoever_is_killed_while_a_damaged_queue_is_set_aside_begins_again(
    tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "q"
    await filled(folder)
    await reopen(folder).close()
    with (folder / "queue.db").open("r+b") as file:  # an index
        file.seek(2 * Tuning().page_size)
        file.write(b"\xff" * Tuning().page_size)
    _, store = await opened_after_kills(folder, step, monkeypatch)
    assert await delivered(store) == set(NAMES)
    await store.close()
    assert list(folder.glob("queue.db.corrupt-*"))


async def test_what_is_sound_of_a_queue_of_an_older_version_is_taken_over(tmp_path: Path) -> None:
    folder, fresh = tmp_path / "q", tmp_path / "fresh"
    await settled(folder)
    await reopen(fresh).close()
    old, new = apsw.Connection(str(folder / "queue.db")), apsw.Connection(str(fresh / "queue.db"))
    old.execute("ALTER TABLE recipient DROP COLUMN word; PRAGMA user_version = 4")
    old.execute("UPDATE recipient SET reason = 'connect: nobody' WHERE message = 1")
    old.close()
    assert salvage(folder / "queue.db", folder / "content", new, fresh / "content") == (len(NAMES), 0)
    new.close()
    store = reopen(fresh)
    words = {message.id: message.states[0].word for message in await store.search(QueueFilter())}
    assert words == dict.fromkeys(NAMES, "") | {NAMES[0]: "connect"}
    assert await delivered(store) == set(NAMES)
    await store.close()


@pytest.mark.parametrize("step", range(1, 6))
@pytest.mark.parametrize("how", ["gone", "older"])
async def test_whoever_is_killed_while_bodies_are_set_aside_keeps_them_with_their_envelopes(
    tmp_path: Path, step: int, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "q"
    await reopen(folder).close()
    old = (folder / "queue.db").read_bytes()
    shutil.rmtree(folder)
    await settled(folder)
    if how == "gone":
        (folder / "queue.db").unlink()
    else:
        (folder / "queue.db").write_bytes(old)
    _, store = await opened_after_kills(folder, step, monkeypatch)
    await store.close()
    told = {body.kept.id for body in rescue.bodies(folder) if body.kept}
    assert told == LARGE
