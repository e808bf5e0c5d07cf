"""Writing a certificate into a folder of certificate files: who reads meanwhile sees all of it or nothing."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from mta.adapters.privileges import acting_for
from mta.errors import UsageError
from mta.rfc.pkix.bundle import pem_of

_SAFE = re.compile(r"[A-Za-z0-9_%+=@-][A-Za-z0-9._%+=@-]{0,199}")  # an address that can be the name of a folder


def write_certificate(root: Path, key: str, der: bytes, chain: tuple[bytes, ...]) -> Path:
    """Write `der`, and the CAs of `chain` behind it, to a file in a folder called `key`. Raises UsageError."""
    if not _SAFE.fullmatch(key):
        raise UsageError(f"{key} cannot be the name of a folder: put the file into {root} by hand")
    folder = root / key
    path = folder / f"{hashlib.sha256(der).hexdigest()[:16]}.pem"
    fresh = folder / f".{path.name}.{os.getpid()}"
    try:
        with acting_for(folder):
            folder.mkdir(mode=0o755, exist_ok=True)
            fresh.write_text("".join(map(pem_of, (der, *chain))), "ascii")
            fresh.replace(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from error
    return path
