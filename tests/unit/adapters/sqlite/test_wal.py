"""The write-ahead log: SQLite drops every commit behind a bad frame, and we find and keep them."""

from __future__ import annotations

import itertools
import os
import struct
from pathlib import Path
from random import Random

import apsw
import pytest

from mta.adapters.sqlite import wal

SIZE, FRAME = 4096, 4096 + 24
ROWS = 60


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    """A database and its log, with a transaction for each row, as a process that was killed leaves them."""
    path = tmp_path_factory.mktemp("wal") / "x.db"
    db = apsw.Connection(str(path))
    for pragma in ("page_size = 4096", "locking_mode = EXCLUSIVE", "journal_mode = WAL", "wal_autocheckpoint = 0"):
        db.execute(f"PRAGMA {pragma}").fetchall()
    db.execute("CREATE TABLE t (x)")
    random = Random(1)
    for _ in range(ROWS):
        db.execute("INSERT INTO t VALUES (?)", (random.randbytes(random.choice((100, 9000))),))
    found = path.read_bytes(), path.with_name("x.db-wal").read_bytes()
    db.close()
    return found


def rows(folder: Path, database: bytes, log: bytes) -> int:
    """What SQLite finds of them."""
    path = folder / f"{os.urandom(4).hex()}.db"
    path.write_bytes(database)
    path.with_name(f"{path.name}-wal").write_bytes(log)
    db = apsw.Connection(str(path))
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
        return int(db.execute("SELECT count(*) FROM t").get)
    except apsw.SQLError:
        return -1  # not even the table
    finally:
        db.close()


def ends(data: bytes) -> list[int]:
    """Where each transaction ends."""
    return [start + FRAME for start in range(32, len(data), FRAME) if struct.unpack_from(">I", data, start + 4)[0]]


def test_a_sound_log_is_left_as_it_is(files: tuple[bytes, bytes], tmp_path: Path) -> None:
    log = wal.read(files[1], SIZE)
    assert not log.damaged
    assert len(log.frames) == (len(files[1]) - 32) // FRAME
    assert rows(tmp_path, *files) == rows(tmp_path, files[0], wal.written_anew(log)) == ROWS
    for nothing in (b"", files[1][:31], files[1][:40], bytes(9000)):
        assert not wal.read(nothing, SIZE).damaged


@pytest.mark.parametrize("seed", range(25))
def test_one_bad_bit_costs_no_commit_behind_it(files: tuple[bytes, bytes], tmp_path: Path, seed: int) -> None:
    """Wherever it is: in a page, in a frame's header, in that of the log."""
    random = Random(seed)
    spoilt = bytearray(files[1])
    last = ends(files[1])[-2]
    place = random.choice([random.randrange(32), 32 + FRAME * random.randrange(9) + random.randrange(24)])
    place = random.choice([place, random.randrange(last)])
    spoilt[place] ^= 1 << random.randrange(8)
    log = wal.read(bytes(spoilt), SIZE)
    if place >= 32:
        assert log.damaged
        assert rows(tmp_path, files[0], bytes(spoilt)) < ROWS
    assert rows(tmp_path, files[0], wal.written_anew(log)) == ROWS


@pytest.mark.parametrize("lost", [1, 500, FRAME, FRAME + 500, 3 * FRAME - 1])
def test_a_torn_end_is_no_damage(files: tuple[bytes, bytes], lost: int) -> None:
    log = wal.read(files[1][:-lost], SIZE)
    assert not log.damaged
    assert 32 + log.sound * FRAME in ends(files[1])


def test_a_hole_in_the_last_transaction_is_no_damage(files: tuple[bytes, bytes]) -> None:
    """A power cut may keep its end and lose its beginning; nobody was answered for it."""
    before, end = [pair for pair in itertools.pairwise(ends(files[1])) if pair[1] - pair[0] > FRAME][-1]
    torn = bytearray(files[1][:end])
    torn[before : before + FRAME] = bytes(FRAME)
    log = wal.read(bytes(torn), SIZE)
    assert not log.damaged
    assert log.sound == (before - 32) // FRAME


def test_what_an_earlier_round_left_behind_the_end_is_no_damage(files: tuple[bytes, bytes], tmp_path: Path) -> None:
    """The log is written from its beginning again and again, under other salts."""
    path = tmp_path / "x.db"
    path.write_bytes(files[0])
    (tmp_path / "x.db-wal").write_bytes(files[1])
    db = apsw.Connection(str(path))
    db.execute("PRAGMA locking_mode = EXCLUSIVE").fetchall()
    db.execute("PRAGMA wal_checkpoint(RESTART)").fetchall()
    db.execute("INSERT INTO t VALUES (1)")
    data = (tmp_path / "x.db-wal").read_bytes()
    db.close()
    assert len(data) == len(files[1])
    log = wal.read(data, SIZE)
    assert not log.damaged
    assert 0 < len(log.frames) < 5


def test_a_frame_of_zeros_is_left_out(files: tuple[bytes, bytes], tmp_path: Path) -> None:
    """As where a sector was lost: the commits behind it count all the same."""
    spoilt = bytearray(files[1])
    place = 32 + FRAME * 20
    spoilt[place : place + FRAME] = bytes(FRAME)
    log = wal.read(bytes(spoilt), SIZE)
    assert log.damaged
    assert len(log.frames) == (len(spoilt) - 32) // FRAME
    assert rows(tmp_path, files[0], wal.written_anew(log)) > 0


def test_after_a_power_cut_a_bad_frame_in_the_last_transaction_is_a_torn_end(files: tuple[bytes, bytes]) -> None:
    """Its other frames and its commit may be there all the same: pages reach the disk in any order."""
    *_, before, last = ends(files[1])
    assert last - before > FRAME, "a transaction of several frames"
    torn = bytearray(files[1][:last])
    torn[before + 100 : before + 4000] = bytes(3900)
    damaged, cut = wal.read(bytes(torn), SIZE), wal.read(bytes(torn), SIZE, torn=True)
    assert damaged.damaged
    assert not cut.damaged
    assert cut.octets == before
    torn[ends(files[1])[-3] + 100] ^= 1  # and a transaction that was acknowledged
    assert wal.read(bytes(torn), SIZE, torn=True).damaged
