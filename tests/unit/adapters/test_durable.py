"""A folder that was made is there after a power cut: each name is fsynced in the folder above."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from mta.adapters import durable
from mta.adapters.durable import make_folder
from mta.adapters.privileges import make_private
from mta.adapters.seen_file import SeenFile
from mta.adapters.sqlite import open_shard
from mta.model.seen import Memory


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that were fsynced, by their names at that moment, with what was in them."""
    seen: list[Path] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        seen.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    return seen


def test_every_folder_above_that_was_missing_is_fsynced_too(tmp_path: Path, synced: list[Path]) -> None:
    make_folder(tmp_path / "a" / "b" / "c")
    assert set(synced) == {tmp_path, tmp_path / "a", tmp_path / "a" / "b"}


def test_a_folder_that_another_process_made_is_fsynced_in_its_parent(tmp_path: Path, synced: list[Path]) -> None:
    make_folder(tmp_path)
    assert synced == [tmp_path.parent]


def test_a_folder_above_that_may_not_be_opened_costs_a_sync_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[str] = []

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "no", str(folder))

    monkeypatch.setattr(durable, "sync_folder", refuse)
    monkeypatch.setattr(os, "sync", lambda: called.append("sync"))
    make_folder(tmp_path / "a")
    make_folder(tmp_path / "a")
    assert called == ["sync"]


async def test_a_new_shard_is_durable_up_to_the_folder_of_the_queue(tmp_path: Path, synced: list[Path]) -> None:
    queue = tmp_path / "var" / "queue"
    make_private(queue)
    store = open_shard(queue / "shard-00", loop=asyncio.get_running_loop())
    await store.close()
    assert {tmp_path, tmp_path / "var", queue, queue / "shard-00"} <= set(synced)


def test_what_was_seen_of_partners_is_durable_under_its_name(tmp_path: Path, synced: list[Path]) -> None:
    SeenFile(tmp_path).write(Memory())
    assert synced == [tmp_path / "seen.json.new", tmp_path]
