"""Public conformance data, from the archive that `$MTA_CORPORA` names (or a folder unpacked from it)."""

from __future__ import annotations

import atexit
import os
import shutil
import tarfile
import tempfile
from functools import lru_cache
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).resolve().parents[2].parent / "shared" / "corpora.tar.xz"


def corpus(folder: str) -> Path:
    """The unpacked `corpora/<folder>`. Skips the test, with the reason, where the data is not at hand."""
    source = Path(os.environ.get("MTA_CORPORA", _DEFAULT))
    if not source.exists():
        pytest.skip(f"the public corpora are not here: {source} is missing (set MTA_CORPORA)")
    path = (source if source.is_dir() else _unpacked(source)) / "corpora" / folder
    if not path.is_dir():
        path = path.parent.parent / folder
    if not path.is_dir():
        pytest.skip(f"{source} holds no corpus {folder}")
    return path


def files(folder: str, suffix: str = "") -> list[Path]:
    """Every file of a corpus whose name ends in `suffix`, but for the note on its origin; in order of their names."""
    found = (path for path in corpus(folder).rglob(f"*{suffix}") if path.is_file())
    return sorted(path for path in found if path.name != "SOURCE.txt")


@lru_cache(maxsize=1)
def _unpacked(archive: Path) -> Path:
    target = Path(tempfile.mkdtemp(prefix="mta-corpora-"))
    atexit.register(shutil.rmtree, target, ignore_errors=True)
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):  # from Python 3.11.4 on
            tar.extraction_filter = tarfile.data_filter
        tar.extractall(target)
    return target
