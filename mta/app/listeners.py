"""The inherited sockets of a worker with an SMTP server on each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from mta.contract.server import Listener, Server
from mta.observe.log import EventLog


class Listeners:
    """The inherited sockets of a worker with an SMTP server on each (worker.Listening)."""

    def __init__(
        self, sockets: tuple[tuple[int, int], ...], listen: tuple[Listener, ...], contract: Any, log: EventLog
    ) -> None:
        """`sockets` are (number in `listen`, descriptor); each stays what it was bound for, whatever the file says."""
        self._sockets = sockets
        self._listen = listen
        self._log = log
        self._servers: list[asyncio.AbstractServer] = []
        self._open: set[Any] = set()
        self._settings: dict[int, Any] = {}
        self.renew(contract)

    def renew(self, contract: Any) -> None:
        """Settings for new connections; a certificate that cannot be used raises and changes nothing."""
        server: Server = contract.configuration.server
        tls = _server_tls(server, contract.index.any_client_certificate)
        self._settings = {number: server_settings(server, self._listen[number], tls) for number, _ in self._sockets}

    async def open(self, relay: Any) -> None:
        """Accept connections."""
        import socket

        loop = asyncio.get_running_loop()
        for number, descriptor in self._sockets:
            taken = socket.socket(fileno=descriptor)
            self._servers.append(await loop.create_server(self._factory(number, relay), sock=taken, backlog=1024))

    def _factory(self, number: int, relay: Any) -> Callable[[], Any]:
        from mta.adapters.smtp_server.protocol import SmtpServerProtocol

        def make() -> SmtpServerProtocol:
            return SmtpServerProtocol(relay, self._settings[number], self._log, self._open)

        return make

    def close(self) -> None:
        """Accept no more; tell every client at the next pause."""
        for server in self._servers:
            server.close()
        for connection in tuple(self._open):
            connection.shut_down()

    def cut(self) -> None:
        """Tell every client that is still there, and hang up."""
        for connection in tuple(self._open):
            connection.cut()


def _server_tls(server: Server, ask_client: bool) -> Any:
    from mta.adapters.tls.context import server_context

    if server.certificate is None:
        return None
    pair = server.certificate
    return server_context(Path(pair.chain), Path(pair.key), ask_client=ask_client, pem=pair.pem)


def server_settings(server: Server, listener: Listener, tls: Any) -> Any:
    """What one listener needs to know; limits of the same name are carried over."""
    from mta.adapters.smtp_server.settings import ServerSettings

    known = {field.name for field in fields(ServerSettings)}
    limits = {field.name: getattr(server.limits, field.name) for field in fields(server.limits) if field.name in known}
    return ServerSettings(
        hostname=server.hostname, tls=tls, implicit_tls=listener.tls == "implicit", proxy=listener.proxy, **limits
    )
