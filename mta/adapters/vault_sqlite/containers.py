"""Sealed containers as files of `items/` in the vault's folder."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mta.adapters.durable import sync_folder
from mta.errors import StorageError, StorageFull

ITEMS = "items"
_FULL = frozenset({28, 122})  # ENOSPC, EDQUOT


class FolderContainers:
    """ports.vault.Containers in a folder; `place` is relative to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def create(self, id: str) -> tuple[str, BinaryIO]:
        """A new container for the item of this id."""
        place = f"{ITEMS}/{id}.tdf"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            (self._folder / ITEMS).mkdir(mode=0o700, parents=True, exist_ok=True)
            return place, os.fdopen(os.open(self._folder / place, flags, 0o600), "w+b")
        except OSError as error:
            raise _fault(error, place) from error

    def keep(self, file: BinaryIO) -> None:
        """Close a container that was written, for good."""
        try:
            with file:
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self._folder / ITEMS)
        except OSError as error:
            raise _fault(error, "a container") from error

    def open(self, place: str) -> BinaryIO:
        """A container to read."""
        try:
            return self._path(place).open("rb")
        except OSError as error:
            raise _fault(error, place) from error

    def places(self) -> Iterator[tuple[str, float]]:
        """All containers, each with when it was written."""
        try:
            with os.scandir(self._folder / ITEMS) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        yield f"{ITEMS}/{entry.name}", entry.stat(follow_symlinks=False).st_mtime
        except FileNotFoundError:
            return
        except OSError as error:
            raise _fault(error, ITEMS) from error

    def remove(self, place: str) -> None:
        """Forget one, if it is there."""
        try:
            with contextlib.suppress(FileNotFoundError):
                self._path(place).unlink()
        except OSError as error:
            raise _fault(error, place) from error

    def _path(self, place: str) -> Path:
        path = Path(place)
        if path.parent != Path(ITEMS) or not path.name or path.name.startswith("."):
            raise StorageError(f"{place} is no place of a container")
        return self._folder / path


def _fault(error: OSError, place: str) -> StorageError:
    kind = StorageFull if error.errno in _FULL else StorageError
    return kind(f"the vault: {place}: {error.strerror or error}")
