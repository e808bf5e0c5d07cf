"""Files with secrets: written whole or not at all, readable by their owner alone, and overwritten when they end."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from mta.adapters.durable import sync_folder
from mta.errors import MtaError, UsageError


def write_private(path: Path, content: bytes, *, replace: bool) -> None:
    """Write a file of mode 0600, durable when this returns. Raises UsageError if it is there and not to be replaced."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if replace:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)  # unlike rename it fails where something is
        sync_folder(path.parent)
    except FileExistsError:
        raise UsageError(f"{path} is there already; it was left as it is") from None
    except OSError as error:
        raise MtaError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


def read_private(path: Path) -> bytes:
    """The content of a file that its owner alone can read. Raises MtaError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with open(descriptor, "rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            if mode & 0o077:
                raise MtaError(f"others can read or write {path} (mode {mode & 0o777:04o}): chmod 600 {path}")
            return stream.read()
    except OSError as error:
        raise MtaError(f"{path} cannot be read: {error.strerror}") from error


def overwrite_and_remove(path: Path) -> None:
    """The end of a secret, as far as a file can have one: overwritten where it stands, then removed."""
    try:
        with open(path, "r+b") as stream:
            stream.write(os.urandom(os.fstat(stream.fileno()).st_size))
            stream.flush()
            os.fsync(stream.fileno())
        path.unlink()
        sync_folder(path.parent)
    except FileNotFoundError:
        return
    except OSError as error:
        raise MtaError(f"{path} cannot be destroyed: {error.strerror}") from error
