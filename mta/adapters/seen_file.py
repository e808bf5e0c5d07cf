"""What was last seen of partners' hosts, kept beside the queue: one small file, replaced as a whole."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from mta.adapters.durable import sync_folder
from mta.errors import StorageError
from mta.model.seen import Memory, Seen

NAME = "seen.json"
_TUPLES = ("names", "told")
_KNOWN = frozenset(field.name for field in fields(Seen))


class SeenFile:
    """Implements ports.SeenStore in the folder of the queue."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> Memory:
        """What was written last; nothing where that cannot be read: a lost memory costs an alarm, never mail."""
        try:
            document = json.loads((self._folder / NAME).read_text("utf-8"))
            hosts = {str(where): _seen(entry) for where, entry in document["hosts"].items()}
            return Memory(float(document.get("at", 0.0)), hosts, tuple(map(str, document.get("told", ()))))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return Memory()

    def write(self, memory: Memory) -> None:
        """Replace it, durably. Raises StorageError."""
        fresh = self._folder / f"{NAME}.new"
        hosts = {where: asdict(each) for where, each in memory.hosts.items()}
        try:
            with open(fresh, "w", encoding="utf-8") as stream:
                json.dump({"at": memory.at, "hosts": hosts, "told": memory.told}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(fresh, self._folder / NAME)
            sync_folder(self._folder)
        except OSError as error:
            raise StorageError(f"what was seen of partners cannot be written: {error}") from error


def _seen(entry: dict[str, Any]) -> Seen:
    values: dict[str, Any] = {
        name: tuple(value) if name in _TUPLES else value for name, value in entry.items() if name in _KNOWN
    }
    return Seen(**values)
