"""Looks for what others' rights management protects in a message that arrives; nothing of it is ever changed."""

from __future__ import annotations

import asyncio
import mmap

from mta.contract.protection import Protection
from mta.errors import StorageError
from mta.model.foreign import Foreign
from mta.model.message import Content
from mta.rfc.irm.recognise import find_foreign, may_hold

_AT_ONCE = 262_144  # octets: more are looked through by a thread


async def foreign_in(protection: Protection | None, content: Content) -> tuple[Foreign, ...]:
    """The protected parts of a message, where `protection` asks for them at all. Raises StorageError."""
    if protection is None:
        return ()
    if content.data is not None and (len(content.data) <= _AT_ONCE or not may_hold(content.data)):
        return find_foreign(content.data)
    return await asyncio.to_thread(_found, content)


def _found(content: Content) -> tuple[Foreign, ...]:
    if content.path is None:
        return find_foreign(content.beginning)
    try:
        with open(content.path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
            return find_foreign(whole[:]) if may_hold(whole) else ()
    except (OSError, ValueError) as error:  # ValueError: nothing was written
        raise StorageError(f"a message cannot be read back: {content.path}: {error}") from error
