"""Opening a shard: one owner, a known schema, tidy folders, and damage that is set aside instead of delivered."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from mta.adapters.sqlite import SqliteQueueStore, Tuning, open_shard
from mta.adapters.sqlite.schema import connect, migrations
from mta.errors import SchemaTooNew, ShardLocked, StorageError
from mta.model.message import Content, NewForm
from mta.observe import events
from mta.ports import QueueFilter, RecipientFate
from tests.support.mail import BODY, NOW, queued, settlement

AS_VERSION_4 = "ALTER TABLE recipient DROP COLUMN word; PRAGMA user_version = 4"
LARGE = b"Subject: x\r\n\r\n" + bytes(range(256)) * 1500


def reopen(folder: Path) -> SqliteQueueStore:
    return open_shard(folder, loop=asyncio.get_running_loop())


async def filled(folder: Path, count: int = 3) -> None:
    """A queue of small messages m0, m1 ... and a large one, `large`."""
    store = reopen(folder)
    for number in range(count):
        await store.enqueue(queued(f"m{number}"))
    spool = store.spool()
    await spool.write(LARGE)
    await store.enqueue(queued("large", content=spool.content(LARGE[:14])))
    await store.close()


def tamper(folder: Path, sql: str) -> None:
    db = apsw.Connection(str(folder / "queue.db"))
    db.execute(sql)
    db.close()


async def test_a_shard_has_one_owner(tmp_path: Path) -> None:
    store = reopen(tmp_path)
    code = (
        "import asyncio, pathlib, sys\n"
        "from mta.adapters.sqlite import open_shard\n"
        "from mta.errors import ShardLocked\n"
        "try:\n    open_shard(pathlib.Path(sys.argv[1]), loop=asyncio.new_event_loop())\n"
        "except ShardLocked as error:\n    print(error)\n"
    )
    told = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert f"in use by process {os.getpid()}" in told.stdout
    with pytest.raises(ShardLocked):
        reopen(tmp_path)
    await store.close()
    await reopen(tmp_path).close()


async def test_everything_is_for_the_owner_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    await filled(tmp_path)
    store = reopen(tmp_path)
    await store.enqueue(queued("again"))
    modes = {entry: stat.S_IMODE(entry.stat().st_mode) for entry in (tmp_path, *tmp_path.rglob("*"))}
    assert len(modes) >= 6
    assert all(mode == (0o700 if entry.is_dir() else 0o600) for entry, mode in modes.items()), modes
    await store.close()


async def test_a_later_schema_is_refused_and_left_untouched(tmp_path: Path) -> None:
    await filled(tmp_path)
    tamper(tmp_path, f"PRAGMA user_version = {len(migrations()) + 1}")
    before = (tmp_path / "queue.db").read_bytes()
    with pytest.raises(SchemaTooNew, match=f"version {len(migrations()) + 1}"):
        reopen(tmp_path)
    assert (tmp_path / "queue.db").read_bytes() == before
    tamper(tmp_path, f"PRAGMA user_version = {len(migrations())}")
    await reopen(tmp_path).close()  # the lock was let go


async def test_a_step_of_the_schema_that_fails_leaves_the_version_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(tmp_path)
    steps = (*migrations(), "CREATE TABLE later (x); INSERT INTO nowhere VALUES (1)")
    monkeypatch.setattr("mta.adapters.sqlite.schema.migrations", lambda: steps)
    with pytest.raises(StorageError, match="nowhere"):
        reopen(tmp_path)
    monkeypatch.setattr("mta.adapters.sqlite.schema.migrations", lambda: (*steps[:-1], "CREATE TABLE later (x)"))
    store = reopen(tmp_path)
    assert len(await store.claim(NOW, 10)) == 4
    await store.close()


def test_the_history_of_an_older_queue_keeps_its_order(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    old = apsw.Connection(str(path))
    for step in migrations()[:2]:
        old.execute(step)
    old.execute("PRAGMA user_version = 2")
    for row in ((7, 2, "second"), (3, 1, "other"), (7, 1, "first")):
        old.execute("INSERT INTO event VALUES (?, ?, 1.5, ?, '[0]', '{}')", row)
    old.close()
    db = connect(path, Tuning())
    db.execute("INSERT INTO event (message, at, name, recipients, detail) VALUES (7, 2.5, 'third', '[]', '{}')")
    seen = db.execute("SELECT name, at, recipients, detail FROM event WHERE message = 7 ORDER BY id").fetchall()
    assert seen == [("first", 1.5, "[0]", "{}"), ("second", 1.5, "[0]", "{}"), ("third", 2.5, "[]", "{}")]
    db.close()


async def test_mail_that_an_older_version_holds_is_held_for_the_same(tmp_path: Path) -> None:
    await filled(tmp_path)
    tamper(tmp_path, AS_VERSION_4)
    tamper(tmp_path, "UPDATE recipient SET state = 'held', reason = 'smime-no-certificate: none' WHERE message = 1")
    store = reopen(tmp_path)
    words = {message.id: message.states[0].word for message in await store.search(QueueFilter())}
    assert words == {"m0": "smime-no-certificate", "m1": "", "m2": "", "large": ""}
    await store.close()


async def test_files_no_record_names_are_removed_and_the_others_kept(tmp_path: Path) -> None:
    await filled(tmp_path)
    [kept] = (tmp_path / "content").iterdir()
    (tmp_path / "content" / "orphan").write_bytes(b"half a message")
    store = reopen(tmp_path)
    assert list((tmp_path / "content").iterdir()) == [kept]
    await store.settle(settlement("large"))
    assert list((tmp_path / "content").iterdir()) == []
    await store.close()


async def test_the_content_of_a_message_that_ended_is_gone_from_the_file(tmp_path: Path) -> None:
    await filled(tmp_path, 2)
    store = reopen(tmp_path)
    await store.settle(settlement("m1"))
    await store.close()
    db = apsw.Connection(str(tmp_path / "queue.db"))
    assert db.execute("SELECT seq FROM content").fetchall() == [(1,)]
    db.close()


async def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="file"):
        reopen(tmp_path / "file" / "queue")


TAMPERED = [
    ("m1", "UPDATE content SET data = substr(data, 1, 20) WHERE seq = 2", "octets"),
    ("m1", "UPDATE content SET data = zeroblob(length(data)) WHERE seq = 2", "checksum"),
    ("m1", "DELETE FROM content WHERE seq = 2", "content is missing"),
    ("m1", "UPDATE message SET prefix = x'00' WHERE seq = 2", "record's checksum"),
    ("m1", "UPDATE message SET envelope = replace(envelope, 'bob', 'eve') WHERE seq = 2", "record's checksum"),
    ("m1", "UPDATE message SET envelope = '{', check_crc = 1 WHERE seq = 2", "checksum"),
    ("m1", "UPDATE recipient SET idx = 5 WHERE message = 2", "more recipients"),
    ("large", "UPDATE message SET file = 'gone' WHERE id = 'large'", "checksum"),
]


@pytest.mark.parametrize(("id_", "sql", "why"), TAMPERED)
async def test_a_damaged_record_is_held_and_the_others_go_on(tmp_path: Path, id_: str, sql: str, why: str) -> None:
    await filled(tmp_path)
    tamper(tmp_path, sql)
    store = reopen(tmp_path)
    good = {"m0", "m1", "m2", "large"} - {id_}
    assert {message.id for message in await store.claim(NOW, 10)} == good
    await _is_quarantined(store, id_, why)
    await store.close()


async def _is_quarantined(store: SqliteQueueStore, id_: str, why: str) -> None:
    assert await store.next_due() is None
    assert (await store.counts()).states == {"queued": 3, "held": 1}
    [record] = await store.trace(QueueFilter(id=id_))
    assert [event.name for event in record.events] == [events.MESSAGE_QUARANTINED]
    [state] = record.message.states
    assert (state.state, why in state.reason) == ("held", True), state.reason
    assert id_ in {message.id for message in await store.search(QueueFilter(state="held"))}
    assert any(id_ in alarm for alarm in store.alarms)


@pytest.mark.parametrize(
    ("sql", "why"),
    [
        ("UPDATE form SET data = zeroblob(length(data))", "checksum"),
        ("UPDATE form SET detail = '{'", "form 1 cannot be read"),
        ("DELETE FROM form", "form 1 is missing"),
    ],
)
async def test_a_damaged_form_holds_its_message(tmp_path: Path, sql: str, why: str) -> None:
    store = reopen(tmp_path)
    await store.enqueue(queued("m1"), claim=True)
    form = NewForm((0,), Content(3, data=b"abc"), {"signed": True})
    await store.settle(settlement("m1", RecipientFate(0, "queued", "450 later", due=NOW), forms=(form,)))
    await store.close()
    tamper(tmp_path, sql)
    store = reopen(tmp_path)
    assert await store.claim(NOW, 10) == []
    [held] = await store.search(QueueFilter(state="held"))
    assert why in held.states[0].reason
    await store.close()


@pytest.mark.parametrize("size", [2, 2_000_000])
async def test_of_a_message_that_was_deleted_during_its_attempt_no_form_stays(tmp_path: Path, size: int) -> None:
    store = reopen(tmp_path)
    await store.enqueue(queued("m1"), claim=True)
    gone = RecipientFate(0, "deleted", "deleted by the administrator", counted=False)
    await store.settle(replace(settlement("m1", gone), by_operator=True))
    form = NewForm((0,), Content(size, data=b"a" * size), {})
    await store.settle(settlement("m1", RecipientFate(0, "queued", "450 later", due=NOW), forms=(form,)))
    await store.close()
    assert list((tmp_path / "content").iterdir()) == []
    db = apsw.Connection(str(tmp_path / "queue.db"))
    assert db.execute("SELECT count(*) FROM form").get == 0
    db.close()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: os.truncate(path, 1000), "has 1000 octets"),
        (lambda path: os.truncate(path, 0), "has 0 octets"),
        (lambda path: path.write_bytes(LARGE[:-1] + b"?"), "checksum"),
    ],
)
async def test_a_damaged_content_file_holds_its_message(tmp_path: Path, damage: object, why: str) -> None:
    await filled(tmp_path)
    [path] = (tmp_path / "content").iterdir()
    damage(path)  # type: ignore[operator]
    store = reopen(tmp_path)
    assert {message.id for message in await store.claim(NOW, 10)} == {"m0", "m1", "m2"}
    await _is_quarantined(store, "large", why)
    await store.close()


async def test_damage_released_by_hand_is_found_again(tmp_path: Path) -> None:
    await filled(tmp_path, 1)
    tamper(tmp_path, "DELETE FROM content")
    store = reopen(tmp_path)
    await store.claim(NOW, 10)
    await store.settle(settlement("m0", RecipientFate(0, "queued", "", due=NOW, counted=False), by_operator=True))
    assert await store.claim(NOW, 10) == []
    assert (await store.counts()).states == {"queued": 1, "held": 1}
    await store.settle(settlement("m0", RecipientFate(0, "deleted", "", counted=False), by_operator=True))
    assert (await store.counts()).states == {"queued": 1, "deleted": 1}
    await store.close()


async def test_a_file_that_becomes_short_while_it_is_read_is_an_error_not_an_end(tmp_path: Path) -> None:
    await filled(tmp_path)
    store = reopen(tmp_path)
    message = next(m for m in await store.claim(NOW, 10) if m.id == "large")
    os.truncate(str(message.content.path), 300_000)
    with pytest.raises(StorageError, match="shorter"):
        [piece async for piece in store.read(message.content)]
    await store.close()


def zero_page(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(2 * Tuning().page_size)
        file.write(b"\xff" * Tuning().page_size)


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (lambda path: path.write_bytes(b"this is no database, however long it may be" * 100), 0),
        (lambda path: os.truncate(path, 5000), 0),
        (zero_page, 4),  # of an index
    ],
)
async def test_an_unreadable_queue_is_set_aside_and_what_is_sound_goes_on(
    tmp_path: Path, damage: object, left: int
) -> None:
    await filled(tmp_path)
    damage(tmp_path / "queue.db")  # type: ignore[operator]
    broken = (tmp_path / "queue.db").read_bytes()
    store = reopen(tmp_path)
    [alarm] = store.alarms
    assert "queue.db.corrupt-1" in alarm
    assert f"{left} messages of it are sound" in alarm or not left
    assert (tmp_path / "queue.db.corrupt-1").read_bytes() == broken
    bodies = [len(list((tmp_path / name).iterdir())) for name in ("content.corrupt-1", "content")]
    assert bodies == ([0, 1] if left else [1, 0])
    await store.enqueue(queued("new"))
    await store.close()
    store = reopen(tmp_path)
    assert store.alarms == []
    found = await store.claim(NOW, 10)
    assert len(found) == left + 1
    for message in found:
        content = b"".join([piece async for piece in store.read(message.content)])
        assert content == (LARGE if message.id == "large" else BODY)
    await store.close()


async def test_an_empty_file_is_a_new_queue(tmp_path: Path) -> None:
    (tmp_path / "queue.db").write_bytes(b"")
    store = reopen(tmp_path)
    assert store.alarms == []
    assert await store.claim(NOW, 10) == []
    await store.close()


async def test_a_log_that_a_power_cut_has_torn_is_no_damage_and_stays_none(tmp_path: Path) -> None:
    folder, left = tmp_path / "q", tmp_path / "left"
    store = reopen(folder)
    await store.enqueue(queued("m1"))
    sound = (folder / "queue.db-wal").stat().st_size
    await store.enqueue(queued("m2", body=b"x" * 20_000))
    shutil.copytree(folder, left)
    await store.close()
    with open(left / "queue.db-wal", "r+b") as log:
        log.seek(sound + 200)
        log.write(bytes(3000))
    (left / "lock").write_bytes(b"1\nan-earlier-start-of-the-machine\n")
    for _ in range(2):  # the second time it is the same start of the machine
        store = reopen(left)
        assert store.alarms == []
        assert [message.id for message in await store.search(QueueFilter())] == ["m1"]
        await store.close()


async def test_without_a_power_cut_the_same_is_damage(tmp_path: Path) -> None:
    folder, left = tmp_path / "q", tmp_path / "left"
    store = reopen(folder)
    await store.enqueue(queued("m1"))
    sound = (folder / "queue.db-wal").stat().st_size
    await store.enqueue(queued("m2", body=b"x" * 20_000))
    shutil.copytree(folder, left)
    await store.close()
    with open(left / "queue.db-wal", "r+b") as log:
        log.seek(sound + 200)
        log.write(bytes(3000))
    store = reopen(left)
    assert "behind which are further commits" in store.alarms[0]
    await store.close()


async def test_a_queue_that_cannot_have_its_log_is_not_opened(tmp_path: Path) -> None:
    """With another journal a COMMIT that was acknowledged may be undone by a power cut."""

    class Stubborn(apsw.VFS):
        def __init__(self) -> None:
            super().__init__("stubborn", "")

        def xOpen(self, name: object, flags: list[int]) -> apsw.VFSFile:
            if str(name.filename() if isinstance(name, apsw.URIFilename) else name).endswith("-journal"):
                raise apsw.CantOpenError("no more descriptors")
            return super().xOpen(name, flags)  # type: ignore[arg-type]

    vfs = Stubborn()
    with pytest.raises(StorageError):
        open_shard(tmp_path, loop=asyncio.get_running_loop(), tuning=Tuning(vfs="stubborn"))
    vfs.unregister()
    await reopen(tmp_path).close()
