"""Damage of single rows: the message is shown, held and handled like any other, and nobody else's mail waits for it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from random import Random

import apsw
import pytest

from mta.adapters.sqlite import SqliteQueueStore, Tuning, open_shard
from mta.model.lifecycle import OPEN
from mta.model.message import QueuedMessage
from mta.pipeline.site import Shard
from mta.ports import QueueFilter, RecipientFate
from mta.queue.operations import answer, joined
from tests.support.mail import BODY, NOW, queued, settlement

NAMES = [f"1a22e8f00-{number:02d}" for number in range(12)]


def reopen(folder: Path, **how: object) -> SqliteQueueStore:
    return open_shard(folder, loop=asyncio.get_running_loop(), **how)  # type: ignore[arg-type]


async def filled(folder: Path) -> None:
    store = reopen(folder)
    for name in NAMES:
        await store.enqueue(queued(name, f"{name}@contoso.example", "carol@contoso.example"))
    await store.close()


def tamper(folder: Path, *statements: str) -> None:
    db = sqlite3.connect(folder / "queue.db")
    for sql in statements:
        db.execute(sql)
    db.commit()
    db.close()


async def drained(store: SqliteQueueStore) -> dict[str, set[int]]:
    """Deliver all that is due, as the scheduler does: places by id."""
    left: dict[str, set[int]] = {}
    for _ in range(40):
        found = await store.claim(NOW, 5)
        done = []
        for message in found:
            assert message.content.data == BODY
            places = {state.index for state in message.states}
            assert places
            assert not places & left.get(message.id, set())
            left.setdefault(message.id, set()).update(places)
            done.append(settlement(message.id, *(RecipientFate(i, "delivered", "250") for i in places)))
        await asyncio.gather(*(store.settle(each) for each in done))
        due = await store.next_due()
        if not found and (due is None or due > NOW):
            return left
    raise AssertionError("it is never done")


async def commands_work(store: SqliteQueueStore) -> None:
    """Every command of `mta queue` shows and changes what is damaged as it does the rest."""

    async def ask(command: str, **more: object) -> dict[str, list[dict[str, object]]]:
        request = {"command": command, "all": True, **more}
        return joined([part async for part in answer([Shard(0, store)], request, NOW, lambda: None)])

    waiting = (await ask("list")).get("messages", [])
    assert len({message["id"] for message in waiting}) == len(waiting)
    for message in waiting:
        assert [found["id"] for found in (await ask("show", id=message["id"]))["messages"]] == [message["id"]]
    await ask("hold")
    assert {r["state"] for m in (await ask("list")).get("messages", []) for r in m["recipients"]} & OPEN <= {"held"}  # type: ignore[attr-defined]
    await ask("delete")
    assert (await ask("list")).get("messages", []) == []
    states = (await store.counts()).states
    assert states.get("held", 0) == states.get("queued", 0) == 0


ROW = "WHERE message = 3 AND idx = 0"
DAMAGES = [
    ("its reason is no UTF-8", f"UPDATE recipient SET reason = CAST(x'61b162' AS TEXT) {ROW}"),
    ("its connector is no UTF-8", f"UPDATE recipient SET connector = CAST(x'ff' AS TEXT) {ROW}"),
    ("a state that is none", f"UPDATE recipient SET state = 'qveued' {ROW}"),
    ("a state that is no UTF-8", f"UPDATE recipient SET state = CAST(x'ff' AS TEXT) {ROW}"),
    ("a place of a text", f"UPDATE recipient SET idx = CAST(x'30ff' AS TEXT) {ROW}"),
    ("a place far away", f"UPDATE recipient SET idx = 1152921504606846976 {ROW}"),
    ("a negative place", f"UPDATE recipient SET idx = -1 {ROW}"),
    ("due in a year without number", f"UPDATE recipient SET due = 1e300 {ROW}"),
    ("due at a text", f"UPDATE recipient SET due = 'soon' {ROW}"),
    ("a recipient is gone", f"DELETE FROM recipient {ROW}"),
    ("all recipients are gone", "DELETE FROM recipient WHERE message = 3"),
    ("the message is gone", "DELETE FROM message WHERE seq = 3"),
    ("a form that never was", f"UPDATE recipient SET form = 7 {ROW}"),
    ("a form of a text", f"UPDATE recipient SET form = 'x' {ROW}"),
    ("its id is no UTF-8", "UPDATE message SET id = CAST(x'61b162' AS TEXT) WHERE seq = 3"),
    ("its id is a number", "UPDATE message SET id = x'00' WHERE seq = 3"),
    ("its envelope is no UTF-8", "UPDATE message SET envelope = CAST(x'7bff7d' AS TEXT) WHERE seq = 3"),
    ("its size is a text", "UPDATE message SET size = 'large' WHERE seq = 3"),
    ("its time is a text", "UPDATE message SET received = 'noon' WHERE seq = 3"),
    ("it ended while it waits", "UPDATE message SET ended = 5.0, hops = 77 WHERE seq = 3"),
]


@pytest.mark.parametrize("sql", [sql for _, sql in DAMAGES], ids=[name for name, _ in DAMAGES])
async def test_a_damaged_row_is_held_shown_and_deleted_while_the_others_leave(tmp_path: Path, sql: str) -> None:
    await filled(tmp_path)
    tamper(tmp_path, sql)
    heard: list[str] = []
    store = reopen(tmp_path, alarm=heard.append)
    left = await drained(store)
    assert {name: left.get(name) for name in NAMES if name != NAMES[2]} == {
        name: {0, 1} for name in NAMES if name != NAMES[2]
    }
    assert 0 not in left.get(NAMES[2], set())
    assert heard
    held = await store.search(QueueFilter())
    assert len(held) == 1
    assert any(state.reason.startswith("damaged: ") for state in held[0].states)
    assert {state.state for state in held[0].states} <= {"held", "delivered"}
    assert await store.purge(NOW + 10) == len(NAMES) - 1
    await commands_work(store)
    await store.close()
    again = reopen(tmp_path)
    assert again.alarms == []
    await again.close()


GARBAGE = ["CAST(x'c3' AS TEXT)", "x'ff00'", "-1", "9223372036854775807", "1e308", "''", "'held'", "'7'", "0.5"]
COLUMNS = {
    "message": "seq id ended received sender inbound hops size file head_size crc check_crc envelope evidence prefix",
    "recipient": "message idx state due attempts warned connector address reason form",
    "content": "seq data",
    "counter": "name value",
    "event": "id message at name recipients detail",
}


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_a_row_says_the_others_leave_and_nothing_raises(tmp_path: Path, seed: int) -> None:
    await filled(tmp_path)
    random = Random(seed)
    spoilt = []
    for _ in range(random.randrange(1, 4)):
        table = random.choice(sorted(COLUMNS))
        column, row = random.choice(COLUMNS[table].split()), random.randrange(len(NAMES))
        value = random.choice(["-1", "77", "9000000000000000000"] if column in ("seq", "id") else GARBAGE)
        key = {"recipient": "message, idx", "counter": "name"}.get(table, "rowid")
        spoilt.append(
            f"UPDATE OR IGNORE {table} SET {column} = {value} WHERE ({key}) IN"
            f" (SELECT {key} FROM {table} LIMIT 1 OFFSET {row})"
        )
    tamper(tmp_path, *spoilt)
    store = reopen(tmp_path)
    left = await drained(store)
    assert sum(places == {0, 1} for places in left.values()) >= len(NAMES) - 3, spoilt
    lost = set(NAMES) - {name for name, places in left.items() if places == {0, 1}}
    shown: list[QueuedMessage] = await store.search(QueueFilter())
    assert len(shown) >= len(lost), (spoilt, lost)
    await commands_work(store)
    await store.close()


def index_misses(folder: Path, message: int) -> None:
    """The index of what is due keeps what it knew of a message whose row has changed."""
    rename = "UPDATE sqlite_schema SET sql = replace(sql, '{}', '{}') WHERE name = 'recipient_due'"
    tamper(folder, "PRAGMA writable_schema = ON", rename.format("queued", "none"))
    tamper(folder, f"UPDATE recipient SET due = due - 5 WHERE message = {message}")
    tamper(folder, "PRAGMA writable_schema = ON", rename.format("none", "queued"))


@pytest.mark.parametrize("checked", [True, False])
async def test_an_index_that_disagrees_is_made_anew(tmp_path: Path, checked: bool) -> None:
    """When the file is opened, or, where it is too large to be looked through, when a row cannot be changed."""
    await filled(tmp_path)
    index_misses(tmp_path, 4)
    heard: list[str] = []
    store = reopen(tmp_path, alarm=heard.append, **({} if checked else {"tuning": Tuning(check_up_to=0)}))
    left = await drained(store)
    assert {name for name, places in left.items() if places == {0, 1}} == set(NAMES)
    assert any(("missing from index" in text) if checked else ("damaged" in text) for text in heard)
    await store.close()
    db = sqlite3.connect(tmp_path / "queue.db")
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()


class SlowDisk(apsw.VFS):
    """Says EIO as often as it is told to."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "")
        self.name = name
        self.faults = 0

    def xOpen(self, name: object, flags: list[int]) -> apsw.VFSFile:
        disk = self

        class File(apsw.VFSFile):
            def __init__(self) -> None:
                super().__init__("", name, flags)  # type: ignore[arg-type]

            def xRead(self, amount: int, offset: int) -> bytes:
                if disk.faults:
                    disk.faults -= 1
                    raise apsw.IOError("the disk says EIO")
                return super().xRead(amount, offset)

        return File()


async def test_a_content_that_cannot_be_read_once_is_asked_for_again(tmp_path: Path) -> None:
    store = reopen(tmp_path)
    body = b"Subject: large\r\n\r\n" + b"x" * 2_000_000
    await store.enqueue(queued("large", body=body))
    await store.enqueue(queued("small"))
    [file] = (tmp_path / "content").iterdir()
    whole = file.read_bytes()
    file.unlink()
    file.mkdir()  # reading a folder is an error that says nothing of the file
    assert [message.id for message in await store.claim(NOW, 10)] == ["small"]
    again = await store.next_due()
    assert again is not None
    assert NOW < again < NOW + 5
    assert await store.claim(NOW, 10) == []
    file.rmdir()
    file.write_bytes(whole)
    [found] = await store.claim(again, 10)
    assert b"".join([piece async for piece in store.read(found.content)]) == body
    assert store.alarms == []
    assert await store.next_due() is None
    await store.close()


async def test_a_content_that_can_never_be_read_is_held_in_the_end(tmp_path: Path) -> None:
    heard: list[str] = []
    store = reopen(tmp_path, alarm=heard.append)
    await store.enqueue(queued("large", body=b"x" * 2_000_000))
    [file] = (tmp_path / "content").iterdir()
    file.unlink()
    file.mkdir()
    now, tries = NOW, 0
    while (due := await store.next_due()) is not None and tries < 10:
        assert await store.claim(max(now, due), 10) == []
        now, tries = max(now, due), tries + 1
    assert (tries, now - NOW > 10) == (4, True)
    [held] = await store.search(QueueFilter(state="held"))
    assert "cannot be read: Is a directory" in held.states[0].reason
    assert len(heard) == 1
    assert "large" in heard[0]
    file.rmdir()
    await store.close()


async def test_a_small_content_that_the_disk_does_not_give_at_once_is_asked_for_again(tmp_path: Path) -> None:
    store = reopen(tmp_path)
    await store.enqueue(queued("m", body=b"x" * 900_000))
    await store.close()
    disk = SlowDisk("slow-" + tmp_path.name)
    store = reopen(tmp_path, tuning=Tuning(vfs=disk.name, check_up_to=0))
    try:
        await store.claim(NOW - 1, 10)
        await store.search(QueueFilter())  # the pages of the rows are in memory now, the content's are not
        disk.faults = 1
        assert await store.claim(NOW, 10) == []
        [found] = await store.claim(NOW + 5, 10)
        assert found.content.size == 900_000
        assert store.alarms == []
    finally:
        await store.close()


async def test_an_alarm_is_told_when_the_damage_is_met(tmp_path: Path) -> None:
    heard: list[str] = []
    store = reopen(tmp_path, alarm=heard.append)
    await store.enqueue(queued("m1"))
    await asyncio.sleep(0)
    assert heard == []
    await store._writer.write(lambda work: work.db.execute("DELETE FROM content"), "lose a content", urgent=True)
    assert await store.claim(NOW, 10) == []
    await asyncio.sleep(0)
    assert [("m1" in text, "content is missing" in text) for text in heard] == [(True, True)]
    await store.close()


async def test_a_settlement_never_reaches_another_message(tmp_path: Path) -> None:
    store = reopen(tmp_path)
    await store.enqueue(queued("first"))
    await store.settle(settlement("first"))
    assert await store.purge(NOW + 10) == 1
    await store.close()
    store = reopen(tmp_path)
    await store.enqueue(queued("second"))
    with pytest.raises(Exception, match="not in this queue"):
        await store.settle(settlement("first"))
    await store.close()
    db = sqlite3.connect(tmp_path / "queue.db")
    assert db.execute("SELECT seq FROM message").fetchall() == [(2,)]
    db.close()
