"""What was last seen of partners' hosts, kept beside the queue: one small file, replaced as a whole."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from mta.errors import StorageError
from mta.model.seen import Seen

NAME = "seen.json"
_TUPLES = ("names", "told")
_KNOWN = frozenset(field.name for field in fields(Seen))


def read_seen(folder: Path) -> dict[str, Seen]:
    """By connector and host; empty where nothing was written yet, or what was written cannot be read."""
    try:
        document = json.loads((folder / NAME).read_text("utf-8"))
        return {str(where): _seen(found) for where, found in document["hosts"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # a memory that is lost costs one alarm more or less, never mail


def _seen(found: dict[str, Any]) -> Seen:
    known: dict[str, Any] = {
        name: tuple(value) if name in _TUPLES else value for name, value in found.items() if name in _KNOWN
    }
    return Seen(**known)


def write_seen(folder: Path, seen: Mapping[str, Seen]) -> None:
    """Replace the file, durably. Raises StorageError."""
    fresh = folder / f"{NAME}.new"
    try:
        with open(fresh, "w", encoding="utf-8") as stream:
            json.dump({"hosts": {where: asdict(each) for where, each in seen.items()}}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(fresh, folder / NAME)
    except OSError as error:
        raise StorageError(f"what was seen of partners cannot be written: {error}") from error
