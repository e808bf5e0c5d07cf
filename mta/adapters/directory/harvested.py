"""Certificates learned from signed mail (ports.CertificateSource, ports.CertificateMemory), in one small SQLite file.

All workers and `mta directory approve` share the file; each change is one short transaction, on disk before it counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import apsw

from mta.model.address import Mailbox
from mta.model.directory import Candidate, Harvest, SourceAnswer, SourceStatus, TrustRung
from mta.observe import events
from mta.observe.log import EventLog
from mta.rfc.pkix.bundle import outer_length

MOST_OF_ONE = 8  # certificates of one address; the one that was seen longest ago makes room
MOST = 200_000
PENDING, APPROVED, REJECTED = "pending", "approved", "rejected"
_VERSION = 1
_SCHEMA = """
CREATE TABLE certificates(
  key TEXT NOT NULL, sha256 TEXT NOT NULL, der BLOB NOT NULL, chain BLOB NOT NULL, capabilities TEXT NOT NULL,
  first REAL NOT NULL, seen REAL NOT NULL, state TEXT NOT NULL, PRIMARY KEY(key, sha256)
);
CREATE INDEX by_seen ON certificates(seen);
"""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Learned:
    """One certificate as it is kept: for whom, when it was first and last seen, and whether it may be used."""

    key: str
    sha256: str
    der: bytes
    first: float
    seen: float
    state: str


class HarvestedSource:
    """What was learned. With `automatic` everything counts that nobody has rejected."""

    name = "harvested"
    rung = TrustRung.HARVESTED
    keeps = False

    def __init__(self, path: Path, automatic: bool, log: EventLog) -> None:
        self._path = path
        self._automatic = automatic
        self._log = log
        self._thread = ThreadPoolExecutor(1, "directory-harvested")
        self._db: apsw.Connection | None = None

    async def find(self, mailbox: Mailbox) -> SourceAnswer:
        """What this address has signed with."""
        try:
            candidates = await self._in_thread(lambda: self._find(mailbox.key))
        except apsw.Error as error:
            return SourceAnswer(SourceStatus.DOWN, detail=f"{self._path}: {error}")
        return SourceAnswer(SourceStatus.FOUND if candidates else SourceStatus.NONE, candidates)

    async def remember(self, harvest: Harvest, certificate: bytes) -> None:
        """Keep a certificate that came with verified mail; a known one was seen again."""
        try:
            new = await self._in_thread(lambda: self._remember(harvest, certificate))
        except apsw.Error as error:
            self._log.warning(events.DIRECTORY_FAULT, source=self.name, file=str(self._path), error=str(error))
            return
        if new:
            mark = hashlib.sha256(certificate).hexdigest()
            state = APPROVED if self._automatic else PENDING
            self._log.info(events.DIRECTORY_LEARNED, address=harvest.mailbox.key, certificate=mark, state=state)

    async def listing(self, pattern: str) -> list[Learned]:
        """Everything of the addresses that match the GLOB pattern. Raises apsw.Error."""
        return await self._in_thread(lambda: self._listing(pattern))

    async def decide(self, key: str, sha256: str, state: str) -> list[Learned]:
        """Give those certificates of `key` whose digest begins with `sha256` a new state; those that have it now."""
        return await self._in_thread(lambda: self._decide(key, sha256, state))

    async def refresh(self) -> None:
        """There is nothing to look after."""

    async def close(self) -> None:
        """Let go of the file."""
        await self._in_thread(self._close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # --- in the thread

    def _open(self) -> apsw.Connection:
        if self._db is None:
            self._db = _connect(self._path)
        return self._db

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def _find(self, key: str) -> tuple[Candidate, ...]:
        if self._db is None and not self._path.exists():
            return ()  # nothing was ever learned
        sql = "SELECT der, chain, capabilities, state FROM certificates WHERE key = ? AND state != ? ORDER BY seen DESC"
        return tuple(
            Candidate(
                der=der,
                source=self.name,
                rung=self.rung,
                found_for=key,
                chain=_split(chain),
                capabilities=tuple(json.loads(capabilities)),
                place="learned from signed mail",
                pending=state == PENDING and not self._automatic,
            )
            for der, chain, capabilities, state in self._open().execute(sql, (key, REJECTED))
        )

    def _remember(self, harvest: Harvest, der: bytes) -> bool:
        db, key, mark = self._open(), harvest.mailbox.key, hashlib.sha256(der).hexdigest()
        chain = b"".join(certificate for certificate in harvest.chain if certificate != der)
        capabilities = json.dumps(harvest.capabilities)
        with _writing(db):
            is_stored = db.execute("SELECT 1 FROM certificates WHERE key = ? AND sha256 = ?", (key, mark)).get
            if is_stored:
                sql = "UPDATE certificates SET chain = ?, capabilities = ?, seen = ? WHERE key = ? AND sha256 = ?"
                db.execute(sql, (chain, capabilities, harvest.at, key, mark))
            else:
                sql = "INSERT INTO certificates VALUES(?, ?, ?, ?, ?, ?, ?, ?)"
                db.execute(sql, (key, mark, der, chain, capabilities, harvest.at, harvest.at, PENDING))
                _make_room(db, key)
        return not is_stored

    def _listing(self, pattern: str) -> list[Learned]:
        if self._db is None and not self._path.exists():
            return []
        sql = "SELECT key, sha256, der, first, seen, state FROM certificates WHERE key GLOB ? ORDER BY key, seen DESC"
        return [Learned(*row) for row in self._open().execute(sql, (pattern,))]

    def _decide(self, key: str, sha256: str, state: str) -> list[Learned]:
        if self._db is None and not self._path.exists():
            return []
        where = "key = ? AND substr(sha256, 1, ?) = ?"
        named = (key, len(sha256), sha256)
        db = self._open()
        with _writing(db):
            db.execute(f"UPDATE certificates SET state = ? WHERE {where}", (state, *named))  # noqa: S608 - our words
        sql = f"SELECT key, sha256, der, first, seen, state FROM certificates WHERE {where}"  # noqa: S608
        return [Learned(*row) for row in db.execute(sql, named)]


@contextlib.contextmanager
def _writing(db: apsw.Connection) -> Iterator[None]:
    """One transaction that has the right to write from its beginning: who reads first may be refused it later."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _make_room(db: apsw.Connection, key: str) -> None:
    """Bounds hold whatever is sent to us: of one address, and of all."""
    db.execute(
        """DELETE FROM certificates WHERE key = ? AND sha256 NOT IN
           (SELECT sha256 FROM certificates WHERE key = ? ORDER BY state = ? DESC, seen DESC LIMIT ?)""",
        (key, key, APPROVED, MOST_OF_ONE),
    )
    db.execute(
        """DELETE FROM certificates WHERE rowid IN (SELECT rowid FROM certificates WHERE state != ? ORDER BY seen
           LIMIT max(0, (SELECT count(*) FROM certificates) - ?))""",
        (APPROVED, MOST),
    )


def _split(chain: bytes) -> tuple[bytes, ...]:
    certificates = []
    while size := outer_length(chain):
        certificates.append(chain[:size])
        chain = chain[size:]
    return tuple(certificates)


def _connect(path: Path) -> apsw.Connection:
    db = apsw.Connection(str(path))
    try:
        db.set_busy_timeout(10_000)
        # No write-ahead log: writes are few, and the file may be opened by a command at any time.
        for pragma in ("journal_mode = DELETE", "synchronous = FULL", "trusted_schema = OFF"):
            db.execute(f"PRAGMA {pragma}")
        with _writing(db):
            if db.execute("PRAGMA user_version").get < _VERSION:
                db.execute(_SCHEMA)
                db.execute(f"PRAGMA user_version = {_VERSION}")
    except BaseException:
        db.close()
        raise
    return db
