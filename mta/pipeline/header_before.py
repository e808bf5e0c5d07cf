"""A message whose header is another than that of its file."""

from __future__ import annotations

import io
from typing import BinaryIO, cast


class HeaderBefore(io.RawIOBase):
    """A header, and behind it what is left of a file."""

    def __init__(self, header: bytes, body: BinaryIO) -> None:
        self._header, self._body = memoryview(header), body

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, room: object) -> int:
        """The next octets."""
        view = memoryview(cast(bytearray, room)).cast("B")
        if self._header:
            size = min(len(view), len(self._header))
            view[:size] = self._header[:size]
            self._header = self._header[size:]
            return size
        return self._body.readinto(view)  # type: ignore[attr-defined,no-any-return]

    def close(self) -> None:
        """Of the file, too."""
        self._body.close()
        super().close()
