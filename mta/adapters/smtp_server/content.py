"""Where a message goes while it arrives: small ones stay in memory, larger ones go to the queue's spool."""

from __future__ import annotations

import time
from collections.abc import Callable

from mta.adapters.smtp_server.settings import ServerSettings
from mta.errors import StorageError
from mta.model.message import Content
from mta.ports import Spool

_PIECES = 512  # pieces held at most; then they become one


class Arrived:
    """A message as it arrives: a list of pieces, and from the threshold on what `spool` gives."""

    def __init__(self, settings: ServerSettings, spool: Callable[[], Spool]) -> None:
        self._settings = settings
        self._make_spool = spool
        self._pieces: list[bytes] = []
        self._held = 0
        # the whole header must be in the part that stays in memory
        self._threshold = max(settings.spool_threshold, settings.header_size + 4096)
        self._spool: Spool | None = None
        self._head = b""
        self._begun = time.monotonic()
        self.full = ""

    async def take(self, piece: bytes) -> None:
        """Keep one piece. A full disk is remembered: the client hears of it where it waits for a reply."""
        if not piece or self.full:
            return
        if self._spool is None:
            self._pieces.append(piece)
            self._held += len(piece)
            if self._held <= self._threshold:
                if len(self._pieces) > _PIECES:  # a client of many small packets costs us no more than another
                    self._pieces = [b"".join(self._pieces)]
                return
            self._spool = self._make_spool()
            piece = self._head = b"".join(self._pieces)
            self._pieces.clear()
        try:
            await self._spool.write(piece)
        except StorageError as error:
            self.full = str(error)
            await self.discard()

    async def discard(self) -> None:
        """The message is not wanted; no effect on one that has become the queue's."""
        self._pieces.clear()
        if self._spool is not None:
            await self._spool.discard()

    def content(self, *, verbatim: bool) -> Content:
        """What came; `verbatim`: model/message.py, Content."""
        if self._spool is not None:
            return self._spool.content(self._head)
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        return Content(len(data), data, verbatim=verbatim)

    def patience(self, received: int) -> float:
        """Seconds until the next piece must be here: a pause limit, and a least rate over the whole message."""
        settings = self._settings
        if settings.data_rate <= 0:
            return settings.data_timeout
        earned = settings.data_timeout + received / settings.data_rate - (time.monotonic() - self._begun)
        return max(0.0, min(settings.data_timeout, earned))
