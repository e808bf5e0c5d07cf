"""What the portal's process has counted: it writes it into the vault's folder, the page of metrics reads it there."""

from __future__ import annotations

import json
import os
from pathlib import Path

from mta.contract.configuration import Configuration
from mta.contract.protection import Protection
from mta.errors import StorageError
from mta.observe.metrics import Sample

_FILE = "portal.metrics"
_LARGEST = 1 << 20


def write_numbers(protection: Protection, samples: list[Sample]) -> None:
    """Replace the file, which nothing depends on. Raises StorageError."""
    path = Path(protection.store) / _FILE
    fresh = path.with_suffix(".new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(samples, file)
        fresh.replace(path)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}") from error


def portal_samples(configuration: Configuration) -> list[Sample]:
    """What was counted; nothing where there is no portal, or it has not written yet."""
    if configuration.protection is None or configuration.server.portal is None:
        return []
    try:
        with (Path(configuration.protection.store) / _FILE).open(encoding="utf-8") as file:
            found = json.loads(file.read(_LARGEST))
        return [(str(name), tuple(map(str, labels)), float(number)) for name, labels, number in found]
    except (OSError, ValueError, TypeError):
        return []
