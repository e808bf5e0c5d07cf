"""Rows of what is signed: our checkpoints and their witnesses, and partners' checkpoints that we witnessed."""

from __future__ import annotations

from typing import Any

import apsw

from mta.errors import LogRefused, StorageError, TlogError
from mta.ports.vault_log import Seen, Watch
from mta.rfc.tlog.note import merged


def newest(db: apsw.Connection) -> str:
    """The largest checkpoint that was signed; empty before the first."""
    return str(db.execute("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1").get or "")


def put_checkpoint(db: apsw.Connection, size: int, note: str) -> None:
    """Keep a signed checkpoint; to one that is there its signatures are added, as cosignatures come."""
    before = db.execute("SELECT note FROM checkpoint WHERE size = ?", (size,)).get
    if before is not None:
        db.execute("UPDATE checkpoint SET note = ? WHERE size = ?", (_merged(before, note), size))
        return
    if refused := refusal(db):
        raise LogRefused(refused)
    largest = db.execute("SELECT max(size) FROM checkpoint").get
    if largest is not None and size < largest:
        raise StorageError(f"a checkpoint of size {largest} was signed already; one of {size} would be another log")
    db.execute("INSERT INTO checkpoint VALUES (?, ?)", (size, note))


def _merged(before: str, note: str) -> str:
    try:
        return merged(before, note)
    except TlogError as error:
        raise StorageError(str(error)) from error


def checkpoints(db: apsw.Connection, above: int, limit: int) -> list[str]:
    """The largest ones of more than `above` entries."""
    rows: Any = db.execute("SELECT note FROM checkpoint WHERE size > ? ORDER BY size DESC LIMIT ?", (above, limit))
    return [note for (note,) in rows]


def watches(db: apsw.Connection) -> dict[str, Watch]:
    """Our witnesses, by their keys."""
    rows: Any = db.execute("SELECT key, name, size, cosigned, heard, fault, refusal FROM witness")
    return {key: Watch(*told) for key, *told in rows}


def put_watch(db: apsw.Connection, key: str, watch: Watch | None) -> None:
    """What a witness answered. A refusal stands until the witness is forgotten, or takes it back (`refusal` empty)."""
    if watch is None:
        db.execute("DELETE FROM witness WHERE key = ?", (key,))
        return
    row = (key, watch.name, watch.size, watch.cosigned, watch.heard, watch.fault, watch.refusal)
    db.execute("INSERT OR REPLACE INTO witness VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def refusal(db: apsw.Connection) -> str:
    """What a witness holds against the log; empty if none does."""
    return str(db.execute("SELECT refusal FROM witness WHERE refusal <> '' LIMIT 1").get or "")


def witnessed(db: apsw.Connection) -> dict[str, Seen]:
    """The newest checkpoints of partners' logs."""
    rows: Any = db.execute("SELECT origin, size, root FROM witnessed")
    return {origin: (size, root) for origin, size, root in rows}


def put_witnessed(db: apsw.Connection, origin: str, before: Seen | None, after: Seen) -> bool:
    """The next one, if `before` is still the newest."""
    if witnessed(db).get(origin) != before:
        return False
    db.execute("INSERT OR REPLACE INTO witnessed VALUES (?, ?, ?)", (origin, *after))
    return True
