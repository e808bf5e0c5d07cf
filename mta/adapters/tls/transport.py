"""The transport that an application on TLS holds in its hands."""

from __future__ import annotations

import asyncio
from typing import Any

from mta.adapters.tls.layer import TlsLayer
from mta.model.tls import TlsFacts


class TlsTransport(asyncio.Transport):
    """What the application sees: a transport whose extra info `tls_facts` is TlsFacts, the rest the raw one's."""

    def __init__(self, layer: TlsLayer, facts: TlsFacts) -> None:
        super().__init__()
        self._layer = layer
        self._facts = facts
        self.write = layer.write  # type: ignore[method-assign]  # one call less on the busiest path
        self.close = layer.close  # type: ignore[method-assign]
        self.abort = layer.abort  # type: ignore[method-assign]

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """`tls_facts`, or the raw transport's."""
        return self._facts if name == "tls_facts" else self._layer.raw.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self._layer.is_closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Change the application protocol."""
        self._layer.app = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The application protocol."""
        return self._layer.app

    def is_reading(self) -> bool:
        """Whether data may arrive."""
        return not self._layer.paused and not self.is_closing()

    def pause_reading(self) -> None:
        """Let nothing more through, decrypted or not."""
        if not self._layer.paused and not self.is_closing():
            self._layer.paused = True
            self._layer.raw.pause_reading()

    def resume_reading(self) -> None:
        """Go on; what was held back comes first."""
        if self._layer.paused and not self.is_closing():
            self._layer.paused = False
            asyncio.get_running_loop().call_soon(self._layer.go_on)

    def get_write_buffer_size(self) -> int:
        """Octets of ciphertext that wait; plaintext never does."""
        return self._layer.raw.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """As the raw transport's."""
        return self._layer.raw.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As the raw transport's."""
        self._layer.raw.set_write_buffer_limits(high, low)

    def can_write_eof(self) -> bool:
        """TLS is closed as a whole."""
        return False
