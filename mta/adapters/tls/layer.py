"""The protocol of a raw transport that carries TLS: OpenSSL over memory BIOs (handshake.py has the picture)."""

from __future__ import annotations

import asyncio
from enum import Enum, auto

from OpenSSL import SSL

from mta.adapters.tls.facts import handshake_facts, reason
from mta.errors import TlsFailed
from mta.model.tls import TlsFacts

RECORD = 16_384  # RFC 8446 §5.1: the most octets of plaintext in one record, and all that one recv can return
BATCH = 8 * RECORD  # plaintext that is encrypted before it goes to the raw transport in one piece
GROWTH = 256  # RFC 8446 §5.2: a record grows by at most so many octets (ours by 22)
QUIET = 65_536  # octets received after which OpenSSL's own answers (key updates, alerts) are sent at the latest


class _State(Enum):
    HANDSHAKE = auto()
    DONE = auto()  # the caller is about to switch its transport
    OPEN = auto()
    PEER_CLOSED = auto()  # nothing more comes in, but we may still write
    CLOSED = auto()


class TlsLayer(asyncio.Protocol):
    """The protocol of the raw transport. Made and driven by handshake.py and TlsTransport."""

    def __init__(
        self, raw: asyncio.Transport, app: asyncio.BaseProtocol, connection: SSL.Connection, sni: str = ""
    ) -> None:
        self.raw = raw
        self.app = app
        self.paused = False
        self._connection = connection
        self._sni = sni
        self._state = _State.HANDSHAKE
        self._result: asyncio.Future[TlsFacts] | None = None
        self._error: Exception | None = None
        self._raw_ended = False  # TCP's end was seen
        self._since_flush = 0

    @property
    def is_closing(self) -> bool:
        """Whether writing has no effect any more."""
        return self._state is _State.CLOSED or self.raw.is_closing()

    # --- handshake

    def handshake(self, result: asyncio.Future[TlsFacts]) -> asyncio.Future[TlsFacts]:
        """Take the raw transport over and begin; `result` gets the facts, or TlsFailed."""
        self._result = result
        if self.raw.is_closing():
            self.fail("closed by the peer")
            return result
        self.raw.set_protocol(self)
        self._advance()
        if not self.raw.is_reading():
            self.raw.resume_reading()
        return result

    def _advance(self) -> None:
        try:
            self._connection.do_handshake()
        except SSL.WantReadError:
            self._flush()
        except SSL.Error as error:
            self._flush()  # the alert
            self.fail(reason(error), abruptly=False)
        else:
            self._flush()
            self._state = _State.DONE
            if self._result and not self._result.done():
                self._result.set_result(handshake_facts(self._connection, self._sni))

    def fail(self, why: str, *, abruptly: bool = True) -> None:
        """End the handshake for this reason and close the connection; no effect after the handshake."""
        if self._state is not _State.HANDSHAKE:
            return
        self._state = _State.CLOSED
        if self._result and not self._result.done():
            self._result.set_exception(TlsFailed(why))
        if abruptly:
            self.raw.abort()
        else:
            self.raw.close()

    def open(self) -> None:
        """Let application data flow; called when the caller has switched its transport."""
        if self._state is _State.DONE:
            self._state = _State.OPEN
            self.deliver()

    # --- from the raw transport

    def data_received(self, data: bytes) -> None:
        """Ciphertext has arrived."""
        if self._state in (_State.CLOSED, _State.PEER_CLOSED):
            return
        self._connection.bio_write(data)
        if self._state is _State.HANDSHAKE:
            self._advance()
            return
        self.deliver()
        self._since_flush += len(data)
        if self._since_flush > QUIET:
            self._flush()

    def deliver(self) -> None:
        """Hand decrypted data on, until there is none or the application has paused."""
        try:
            while self._state is _State.OPEN and not self.paused:
                self.app.data_received(self._connection.recv(RECORD))  # type: ignore[attr-defined]
        except SSL.WantReadError:
            if self._raw_ended:
                self._peer_closed()
        except SSL.ZeroReturnError:
            self._peer_closed()
        except SSL.Error as error:
            self._break(error)

    def go_on(self) -> None:
        """Deliver what was held back, and read on only if the application took all of it.

        Reading at once would let ciphertext pile up: more comes in with each turn than the application takes.
        """
        self.deliver()
        if not self.paused and not self.is_closing and not self.raw.is_reading():
            self.raw.resume_reading()

    def eof_received(self) -> bool:
        """TCP ended. Without a close_notify before it that is the same to us: SMTP knows where its messages end."""
        self._raw_ended = True
        if self._state is _State.HANDSHAKE:
            self.fail("closed by the peer")
        elif self._state is _State.OPEN and not self.paused:
            self._peer_closed()
        return True  # closing is ours

    def connection_lost(self, exc: Exception | None) -> None:
        """The raw transport is gone."""
        self.fail("closed by the peer" if exc is None else f"connection lost: {exc}")
        self._state = _State.CLOSED
        del self._connection  # it is large, and the circle of application, transport and layer is collected late
        self.app.connection_lost(self._error or exc)

    def pause_writing(self) -> None:
        """The raw transport's buffer is full: the application's problem."""
        self.app.pause_writing()

    def resume_writing(self) -> None:
        """The raw transport's buffer has drained."""
        self.app.resume_writing()

    def _peer_closed(self) -> None:
        self._state = _State.PEER_CLOSED
        if not self.app.eof_received():  # type: ignore[attr-defined]
            self.close()

    def _break(self, error: SSL.Error) -> None:
        """TLS cannot go on: send the alert if the way is free, and let go."""
        self._error = TlsFailed(reason(error))
        self._state = _State.CLOSED
        end = self.raw.abort if self.raw.get_write_buffer_size() else self.raw.close
        self._flush()
        end()

    # --- from the application

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send; data after the end is dropped, as transports do."""
        if not data or self.is_closing:
            return
        try:
            if len(data) <= RECORD:
                self._connection.send(data)
                self._flush()
            else:
                self._write_large(memoryview(data).cast("B"))
        except SSL.Error as error:
            self._break(error)

    def _write_large(self, data: memoryview) -> None:
        send = self._connection.send
        for batch in range(0, len(data), BATCH):
            for start in range(batch, min(batch + BATCH, len(data)), RECORD):
                send(data[start : start + RECORD])
            self._flush(BATCH + 8 * GROWTH)

    def close(self) -> None:
        """Send close_notify after what was written, then close the raw transport once it is flushed."""
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        try:
            self._connection.shutdown()
        except SSL.Error as error:
            self._error = TlsFailed(reason(error))
        self._flush()
        self.raw.close()

    def abort(self) -> None:
        """Drop everything at once."""
        self._state = _State.CLOSED
        self.raw.abort()

    def _flush(self, size: int = RECORD + GROWTH) -> None:
        """Move what OpenSSL wants sent to the raw transport, in pieces of `size`."""
        self._since_flush = 0
        try:
            while True:
                data = self._connection.bio_read(size)
                self.raw.write(data)
                if len(data) < size:
                    return
        except SSL.WantReadError:
            return
