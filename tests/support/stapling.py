"""A scripted host that staples an OCSP response to its handshake, which Python's own `ssl` cannot."""

from __future__ import annotations

import contextlib
import socket
import ssl
from dataclasses import dataclass
from typing import Any

from OpenSSL import SSL

from tests.support.smtp_peer import PeerTls


@dataclass(frozen=True)
class StaplingTls(PeerTls):
    """As PeerTls, with the DER of what is stapled."""

    staple: bytes = b""

    def context(self) -> Any:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate_chain_file(self.chain)
        context.use_privatekey_file(self.key)
        context.set_ocsp_server_callback(lambda connection, data: self.staple)
        return _Wrapper(context)


class _Wrapper:
    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def wrap_socket(self, sock: socket.socket, *, server_side: bool) -> StapledSocket:
        return StapledSocket(self._context, sock)


class StapledSocket:
    """As much of a socket as the scripted peer uses."""

    def __init__(self, context: SSL.Context, sock: socket.socket) -> None:
        self._sock = sock
        sock.settimeout(None)
        self._tls = SSL.Connection(context, sock)
        self._tls.set_accept_state()
        with _as_os_error():
            self._tls.do_handshake()

    def recv(self, size: int) -> bytes:
        with _as_os_error():
            return self._tls.recv(size)

    def sendall(self, data: bytes) -> None:
        with _as_os_error():
            self._tls.sendall(data)

    def cipher(self) -> tuple[str, str, int]:
        return (self._tls.get_cipher_name() or "", "", 0)

    def version(self) -> str:
        return self._tls.get_protocol_version_name()

    def getpeercert(self, binary_form: bool = False) -> None:
        return None

    def close(self) -> None:
        self._sock.close()

    def shutdown(self, how: int) -> None:
        self._sock.shutdown(how)


@contextlib.contextmanager
def _as_os_error() -> Any:
    try:
        yield
    except SSL.Error as error:
        raise ssl.SSLError(str(error)) from error
