"""The vault's folder and its two databases, and what is done so that a share leaves no trace.

vault.db      items, grants, root keys, the log
shares.db     the vault's shares of the content keys, covered by the key of the epoch
epochs/       keys of epochs, one file each: left out of the backup of shares.db
items/        sealed containers
"""

from __future__ import annotations

import time
from importlib.resources import files
from pathlib import Path

import apsw

from mta.errors import SchemaTooNew, StorageError

VAULT, SHARES = "vault.db", "shares.db"
_VERSIONS = {"shares.sql": 1, "vault.sql": 3}
_BUSY = 10_000  # milliseconds that another process may hold the file
_PATIENCE = 10.0  # seconds in which nobody reads an old page

Pair = tuple[apsw.Connection, apsw.Connection]  # shares.db, vault.db


def open_pair(folder: Path) -> Pair:
    """Connections to both files; the schema is made if the file is new. Raises apsw's errors, OSError, SchemaTooNew."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "items").mkdir(mode=0o700, exist_ok=True)
    return _open(folder / SHARES, "shares.sql"), _open(folder / VAULT, "vault.sql")


def _open(path: Path, schema: str) -> apsw.Connection:
    path.touch(mode=0o600)
    db = apsw.Connection(str(path))
    db.set_busy_timeout(_BUSY)
    for pragma in (
        "secure_delete = ON",
        "journal_mode = WAL",
        "synchronous = FULL",  # a COMMIT is durable before it returns
        "foreign_keys = ON",
        "temp_store = MEMORY",
        "trusted_schema = OFF",
    ):
        db.execute(f"PRAGMA {pragma}")
    _migrate(db, path, schema)
    return db


def _migrate(db: apsw.Connection, path: Path, schema: str) -> None:
    version, known = db.execute("PRAGMA user_version").get, _VERSIONS[schema]
    if version > known:
        raise SchemaTooNew(f"{path} has schema version {version}, this mta knows up to {known}")
    if version < known:
        db.execute("BEGIN EXCLUSIVE")
        version = db.execute("PRAGMA user_version").get  # another process may have been here first
        for number in range(version + 1, known + 1):
            name = schema if number == 1 else schema.replace(".", f".{number}.")
            db.execute(files("mta.adapters.vault_sqlite").joinpath(name).read_text("utf-8"))
        db.execute(f"PRAGMA user_version = {max(version, known)}")
        db.execute("COMMIT")


def forget_log(folder: Path) -> None:
    """Write the log of shares.db back and cut it to nothing: older versions of its pages stand there.

    Raises StorageError if a reader is in the way for too long; the shares are gone for every reader all the same, and
    the next sweep tries again.
    """
    db = apsw.Connection(str(folder / SHARES))
    try:
        deadline = time.monotonic() + _PATIENCE
        while db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()[0][0]:
            if time.monotonic() > deadline:
                raise StorageError(f"the log of {folder / SHARES} could not be cut: somebody reads it")
            time.sleep(0.02)
    finally:
        db.close()
