"""The content of a message on its way out: what matters of it to a hop, and a spooled one read piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import BinaryIO

from mta.errors import StorageError
from mta.model.message import Content
from mta.ports import Transaction
from mta.rfc.smtp.next_hop import Cargo

PIECE = 262_144  # octets read from a spool file at a time


async def cargo_of(transaction: Transaction, carries_8bit: bool) -> Cargo:
    """What matters of the content. A spooled one is searched for 8-bit octets only where the hop does not take them."""
    envelope, content = transaction.envelope, transaction.content
    eight_bit = not (transaction.prefix.isascii() and content.beginning.isascii())
    if content.data is None and not eight_bit:
        eight_bit = envelope.body == "8BITMIME" if carries_8bit else await _has_8bit(content)
    utf8_header = False
    if envelope.smtputf8:
        header, _, _ = content.beginning.partition(b"\r\n\r\n")
        utf8_header = not (transaction.prefix.isascii() and header.isascii())
    return Cargo(len(transaction.prefix) + content.size, eight_bit, utf8_header)


async def _has_8bit(content: Content) -> bool:
    has_8bit = False
    async for piece in pieces_of(content):
        has_8bit = has_8bit or not piece.isascii()
    return has_8bit


async def pieces_of(content: Content) -> AsyncGenerator[bytes, None]:
    """A spooled content, read in a thread. Raises StorageError if it cannot be read or has not its size."""
    loop = asyncio.get_running_loop()
    path, left = content.path or "", content.size
    file: BinaryIO | None = None
    try:
        file = await loop.run_in_executor(None, _open, path)
        while piece := await loop.run_in_executor(None, file.read, PIECE):
            left -= len(piece)
            yield piece
    except OSError as error:
        raise StorageError(f"the content of a message cannot be read: {path}: {error.strerror or error}") from error
    finally:
        if file is not None:
            file.close()
    if left:
        raise StorageError(
            f"the content of a message has not its size: {path}: {content.size - left}, not {content.size}"
        )


def _open(path: str) -> BinaryIO:
    return open(path, "rb", buffering=0)
