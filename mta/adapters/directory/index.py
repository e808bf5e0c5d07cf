"""The index of a folder of certificate files: SQLite, by path and stamp. It can always be made anew.

Several processes share it: whoever writes holds a lock on the file `.lock` beside it, whoever reads needs none.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw

from mta.adapters.directory.scan import Entry, FileRead, Stamp

_VERSION = 2
MOST_ROWS = 200  # certificates of one address, or of one domain
_SCHEMA = """
CREATE TABLE files(
  id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, folder TEXT NOT NULL, stamp INTEGER NOT NULL,
  size INTEGER NOT NULL, fault TEXT NOT NULL
);
CREATE INDEX files_of_folder ON files(folder);
CREATE TABLE certificates(
  id INTEGER PRIMARY KEY, file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE, authority INTEGER NOT NULL,
  der BLOB NOT NULL
);
CREATE INDEX certificates_of_file ON certificates(file);
CREATE TABLE names(
  key TEXT NOT NULL, certificate INTEGER NOT NULL REFERENCES certificates ON DELETE CASCADE, stated INTEGER NOT NULL,
  PRIMARY KEY(key, certificate)
) WITHOUT ROWID;
CREATE INDEX names_of_certificate ON names(certificate);
"""
_DAMAGED = (apsw.CorruptError, apsw.NotADBError)


@dataclass(frozen=True, slots=True)
class Row:
    """One certificate that was found by `key`, in the file `path` as it was when it was read."""

    path: str
    stamp: Stamp
    key: str
    stated: bool
    der: bytes
    file: int


class FolderIndex:
    """An open index. Used by one thread."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self.db = self._open()

    def _open(self) -> apsw.Connection:
        try:
            return _connect(self._path)
        except _DAMAGED:
            assert self._path is not None
            for suffix in ("", "-wal", "-shm"):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
            return _connect(self._path)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the right to write; other processes wait."""
        if self._path is None:
            yield
            return
        descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Let go of the file."""
        self.db.close()

    # --- what it knows

    def stamps(self) -> dict[str, Stamp]:
        """The stamps of all files that were read."""
        return {path: (stamp, size) for path, stamp, size in self.db.execute("SELECT path, stamp, size FROM files")}

    def stamps_of(self, folders: Iterable[str]) -> dict[str, Stamp]:
        """The stamps of the files that stand in these folders themselves."""
        sql = "SELECT path, stamp, size FROM files WHERE folder = ?"
        return {path: (stamp, size) for below in folders for path, stamp, size in self.db.execute(sql, (below,))}

    def faults(self) -> list[tuple[str, str]]:
        """The files that could not be used, and why."""
        return list(self.db.execute("SELECT path, fault FROM files WHERE fault != '' ORDER BY path"))

    def find(self, keys: Iterable[str]) -> list[Row]:
        """The certificates that are found by any of `keys`; those of CAs never are."""
        sql = """SELECT f.path, f.stamp, f.size, n.key, n.stated, c.der, f.id FROM names n
                 JOIN certificates c ON c.id = n.certificate JOIN files f ON f.id = c.file WHERE n.key = ? LIMIT ?"""
        return [
            Row(path, (stamp, size), key, bool(stated), der, file)
            for wanted in keys
            for path, stamp, size, key, stated, der, file in self.db.execute(sql, (wanted, MOST_ROWS))
        ]

    def authorities(self, file: int) -> tuple[bytes, ...]:
        """The certificates of CAs that stand in a file."""
        sql = "SELECT der FROM certificates WHERE file = ? AND authority = 1"
        return tuple(der for (der,) in self.db.execute(sql, (file,)))

    def everything(self, pattern: str) -> list[tuple[str, str, bytes]]:
        """Every certificate whose keys match the GLOB `pattern`: key, path and DER, in the order of the keys."""
        sql = """SELECT n.key, f.path, c.der FROM names n JOIN certificates c ON c.id = n.certificate
                 JOIN files f ON f.id = c.file WHERE n.key GLOB ? ORDER BY n.key, f.path"""
        return list(self.db.execute(sql, (pattern,)))

    # --- what it learns

    def forget(self, paths: Iterable[str]) -> None:
        """These files are gone, or will be read anew."""
        with self.db:
            self.db.executemany("DELETE FROM files WHERE path = ?", ((path,) for path in paths))

    def put(self, read: Iterable[FileRead]) -> None:
        """Take over files as they were read."""
        sql = "INSERT INTO files(path, folder, stamp, size, fault) VALUES(?, ?, ?, ?, ?)"
        with self.db:
            for file in read:
                self.db.execute("DELETE FROM files WHERE path = ?", (file.path,))
                self.db.execute(sql, (file.path, file.path.rpartition("/")[0], *file.stamp, file.fault))
                self._put_entries(self.db.last_insert_rowid(), file.entries)

    def _put_entries(self, file: int, entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            self.db.execute(
                "INSERT INTO certificates(file, authority, der) VALUES(?, ?, ?)", (file, entry.is_authority, entry.der)
            )
            number = self.db.last_insert_rowid()
            self.db.executemany(
                "INSERT INTO names(key, certificate, stated) VALUES(?, ?, ?)",
                ((key, number, key in entry.stated) for key in entry.named | entry.stated),
            )


def _connect(path: Path | None) -> apsw.Connection:
    db = apsw.Connection(str(path) if path else ":memory:")
    try:
        db.set_busy_timeout(10_000)
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON", "cache_size = -16384"):
            db.execute(f"PRAGMA {pragma}")
        _prepare(db)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: apsw.Connection) -> None:
    """The tables of this version; those of another one are made anew."""
    if db.execute("PRAGMA user_version").get == _VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        if db.execute("PRAGMA user_version").get != _VERSION:  # unless somebody else has just made them
            for table in ("names", "certificates", "files"):
                db.execute(f"DROP TABLE IF EXISTS {table}")
            db.execute(_SCHEMA)
            db.execute(f"PRAGMA user_version = {_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise
