"""The vault's files outlive versions of mta: an older one is brought up, a later one is left alone."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import apsw
import pytest

from mta.adapters.vault_sqlite import open_vault
from mta.errors import SchemaTooNew
from mta.model.protected import Actor, VaultEvent
from mta.observe.vault_events import Operation, Result
from mta.ports.vault_log import Watch

EVENT = VaultEvent(1.0, Operation.CONFIGURATION, Actor("mta", "system"), Result.DONE)


def version(path: Path, new: int | None = None) -> int:
    db = apsw.Connection(str(path))
    if new is not None:
        db.execute(f"PRAGMA user_version = {new}")
    found: int = db.execute("PRAGMA user_version").get
    db.close()
    return found


def first_version(folder: Path) -> None:
    """A vault as the first version made it."""
    for name in ("vault", "shares"):
        db = apsw.Connection(str(folder / f"{name}.db"))
        db.execute(files("mta.adapters.vault_sqlite").joinpath(f"{name}.sql").read_text("utf-8"))
        db.execute("PRAGMA user_version = 1")
        db.close()


async def test_a_vault_of_the_first_version_is_brought_up_and_nothing_is_lost(tmp_path: Path) -> None:
    first_version(tmp_path)
    db = apsw.Connection(str(tmp_path / "vault.db"))
    db.execute("INSERT INTO checkpoint VALUES (0, 'note')")
    db.close()
    for _ in range(2):
        store = open_vault(tmp_path)
        await store.record(EVENT)
        await store.put_watch("key", Watch("fabrikam"))
        assert (await store.head()).checkpoint == "note"
        await store.close()
    fresh = tmp_path / "fresh"
    await open_vault(fresh).close()
    assert version(tmp_path / "vault.db") == version(fresh / "vault.db")
    assert schema(tmp_path / "vault.db") == schema(fresh / "vault.db")


def schema(path: Path) -> list[tuple[str, ...]]:
    db = apsw.Connection(str(path))
    found = [tuple(map(str, row)) for row in db.execute("SELECT name, sql FROM sqlite_schema ORDER BY name")]
    db.close()
    return found


async def test_a_vault_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    await open_vault(tmp_path).close()
    later = version(tmp_path / "vault.db") + 1
    version(tmp_path / "vault.db", later)
    with pytest.raises(SchemaTooNew, match=f"has schema version {later}"):
        open_vault(tmp_path)
    assert version(tmp_path / "vault.db") == later
