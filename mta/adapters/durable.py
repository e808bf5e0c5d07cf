"""Names that survive a power cut: a file or folder is there for good once the folder above it was fsynced."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path, mode: int = 0o700) -> None:
    """A folder of this mode that is there for good, and those above it that were missing. Raises OSError.

    The one above is fsynced even if nothing was made: whoever made `folder` may have died before it came to that.
    """
    missing = [each for each in (folder, *folder.parents) if not each.is_dir()]
    for each in reversed(missing):
        try:
            each.mkdir(mode=mode if each == folder else 0o777)
        except FileExistsError:
            if not each.is_dir():  # a file; else another process was faster
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(each)) from None
    for each in {folder: None, **dict.fromkeys(missing)}:
        _sync_above(each, made=each in missing)


def _sync_above(folder: Path, *, made: bool) -> None:
    try:
        sync_folder(folder.parent)
    except PermissionError:  # we may write into it, or only pass, and not open it
        if made:
            os.sync()
