"""Listening sockets: bound once by the supervisor, one a worker and address, or taken over from systemd."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from mta.errors import UsageError

BACKLOG = 1024
PATIENCE = 2.0  # seconds in which the processes of a relay that was killed let go of its ports
_FIRST_INHERITED = 3  # sd_listen_fds(3)


def bind(host: str, port: int, count: int) -> list[socket.socket]:
    """`count` sockets that share one address (SO_REUSEPORT): the kernel spreads connections over the workers.

    Raises UsageError where the address is taken, even by a process that would share it: an orphan that still holds
    the port would swallow its part of the mail.
    """
    family, _, _, _, address = _resolve(host, port)
    try:
        address = _probe(family, address)
        return [_shared(family, address) for _ in range(count)]
    except OSError as error:
        raise UsageError(_explain(host, port, error)) from error


def _probe(family: int, address: tuple[object, ...]) -> tuple[object, ...]:
    """The address with its real port (0 becomes one), once nobody else listens there."""
    end = time.monotonic() + PATIENCE
    while True:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _only_v6(probe, family)
            try:
                probe.bind(address)
                found: tuple[object, ...] = probe.getsockname()
                return found
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > end:
                    raise
        time.sleep(0.05)


def _resolve(host: str, port: int) -> tuple[int, int, int, str, tuple[object, ...]]:
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except OSError as error:
        raise UsageError(f"listen address {host}: {error.strerror}") from error


def _shared(family: int, address: tuple[object, ...]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    _only_v6(bound, family)
    bound.bind(address)
    bound.listen(BACKLOG)
    bound.setblocking(False)
    return bound


def _only_v6(bound: socket.socket, family: int) -> None:
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def _explain(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{host} port {port} is in use by another process: is a relay running already?"
    if error.errno == errno.EACCES:
        return f"{host} port {port} needs privileges: start as root with `server.user`, or by systemd socket activation"
    return f"{host} port {port}: {error.strerror}"


def inherited(environment: Sequence[tuple[str, str]] | None = None) -> list[socket.socket]:
    """Sockets handed over by systemd (LISTEN_FDS), in the order of its unit; empty without systemd."""
    values = dict(environment if environment is not None else os.environ.items())
    if values.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(values.get("LISTEN_FDS", "0") or 0)
    sockets = [socket.socket(fileno=number) for number in range(_FIRST_INHERITED, _FIRST_INHERITED + count)]
    for taken in sockets:
        taken.setblocking(False)
    return sockets


def notify(state: str) -> None:
    """Tell systemd (`READY=1`, `STOPPING=1`, ...); nothing happens without it (sd_notify(3))."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        try:
            channel.sendto(state.encode(), address)
        except OSError:
            return  # nobody listens any more: no reason to stop relaying


_AT_ONCE = 64  # connections answered between two looks at anything else
_SHORT_OF_DESCRIPTORS = 1.0  # seconds


class Doorman:
    """Answers 421 on listening sockets while the worker they are for cannot live. Never waits for a client."""

    def __init__(self, sockets: Sequence[tuple[socket.socket, bool]]) -> None:
        """With each socket whether it is spoken to in clear: where TLS comes first the connection is only closed."""
        self._sockets = sockets
        self.answered = 0
        self._reply = b""

    def begin(self, reply: bytes) -> bool:
        """Say `reply` to whoever waits and whoever comes; False: that is done already."""
        was, self._reply = bool(self._reply), reply
        for bound, clear in self._sockets:
            asyncio.get_running_loop().add_reader(bound, self._answer, bound, clear)
        return not was

    def end(self) -> bool:
        """Leave the sockets to the worker; False: they were its own all the time."""
        was, self._reply = bool(self._reply), b""
        for bound, _ in self._sockets if was else ():
            asyncio.get_running_loop().remove_reader(bound)
        return was

    def _answer(self, bound: socket.socket, clear: bool) -> None:
        for _ in range(_AT_ONCE):
            try:
                connection, _ = bound.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in (errno.ECONNABORTED, errno.EPROTO):
                    self._pause(bound, clear)
                    return
                continue
            self.answered += 1
            with connection, contextlib.suppress(OSError):
                connection.setblocking(False)
                if clear:
                    connection.send(self._reply)
                    connection.shutdown(socket.SHUT_WR)
                connection.recv(4096)  # what is left unread would make the kernel take our reply back

    def _pause(self, bound: socket.socket, clear: bool) -> None:
        """Without a free descriptor the socket stays readable: it is looked at again a little later."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(bound)

        def again() -> None:
            if self._reply:
                loop.add_reader(bound, self._answer, bound, clear)

        loop.call_later(_SHORT_OF_DESCRIPTORS, again)


def plain_ip(text: object) -> IPv4Address | IPv6Address:
    """An address; one that is IPv4 mapped into IPv6 is the IPv4 address it means, a zone is dropped."""
    address = ip_address(str(text).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
