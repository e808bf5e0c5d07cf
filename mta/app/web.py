"""The process that serves the key server, the log and the pages, and does what time demands of the vault."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from mta.app.load import load
from mta.app.portal_numbers import write_numbers
from mta.app.vault import open_vault
from mta.contract.configuration import Configuration
from mta.contract.handed import unpack
from mta.errors import MtaError, UsageError
from mta.observe import events
from mta.observe.log import EventLog, capture_libraries
from mta.observe.metrics import Metrics
from mta.ports.portal import SmsSender
from mta.ports.vault import IssuerSignIn
from mta.vault.epochs import keep_epochs
from mta.vault.expire import SYSTEM, expire, sweep, sweep_containers
from mta.vault.log import checkpoint
from mta.vault.root_keys import prove_keys
from mta.vault.vault import Vault
from mta.vault.witnesses import attend

if TYPE_CHECKING:
    import uvicorn

    from mta.web.portal.desk import Desk

_MOST_CONNECTIONS = 2500
_KEEP_ALIVE = 15  # seconds
_DRAIN = 20  # seconds that requests under way are given at the end
_FIRST_REQUEST = 2.0  # seconds for the first request of a connection that was taken at the end
_MAX_HEAD = 32_768  # octets of a request line with its headers

# seconds between two turns of what time demands
_CHECKPOINT, _EXPIRE, _SWEEP, _PROVE, _NUMBERS = 2.0, 10.0, 3600.0, 3600.0, 5.0
_REMIND = 60.0  # seconds until what is still wrong is told again


def serve_held() -> int:
    """A process of the supervisor's: its orders stand in the first line of standard input, which ends with it."""
    from mta.adapters.process import die_with_parent, ignore_terminal, lines

    ignore_terminal()
    line = next(lines(0), b"")
    if not line.startswith(b"{"):
        raise UsageError("this is started by `mta serve`")
    orders = json.loads(line)
    die_with_parent(orders["parent"])
    configuration = unpack(orders["held"])
    sockets = [socket.socket(fileno=number) for number in orders["sockets"]]
    log = EventLog(2, configuration.server.log_format)
    capture_libraries(log)
    asyncio.run(run_web(configuration, sockets if configuration.server.portal else [], log))
    return 0


def serve_alone(path: str) -> None:
    """`mta web` by hand: bind, become `server.user` where root has started it, serve. Raises UsageError."""
    from mta.adapters.privileges import drop_privileges
    from mta.adapters.sockets import inherited

    configuration = load(path)
    if configuration.server.portal is None:
        raise UsageError(f"{path} serves no portal: write server.portal")
    given = [one for one in inherited() if is_portal(configuration, one)]
    sockets = given or bind_portal(configuration)
    if drop_privileges(configuration.server.user):
        configuration = load(path)  # with the eyes of the user: what it may not read is told now
    log = EventLog(2, configuration.server.log_format)
    capture_libraries(log)
    asyncio.run(run_web(configuration, sockets, log))


async def run_web(configuration: Configuration, sockets: list[socket.socket], log: EventLog) -> None:
    """Serve until SIGTERM or SIGINT. Without sockets the vault is kept and nothing is served."""
    async with open_vault(configuration, configuration.server.log_format) as vault, _kept(vault, log):
        if sockets:
            await _serve(configuration, vault, sockets, log)
        else:
            await _until_told()


async def _until_told() -> None:
    """Until SIGTERM or SIGINT."""
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()


def _unhurried(settings: uvicorn.Config) -> uvicorn.Server:
    """A server that at its end first takes no more connections, and hears those out that have just come."""
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            for server in self.servers:
                server.close()
            await asyncio.sleep(_FIRST_REQUEST)
            await super().shutdown(sockets)

    return Server(settings)


async def _serve(configuration: Configuration, vault: Vault, sockets: list[socket.socket], log: EventLog) -> None:
    import uvicorn

    from mta.web.serve import application
    from mta.web.site import Site

    portal = configuration.server.portal
    assert portal is not None
    chain, key = portal.certificate or (None, None)
    issuers = _issuers(configuration, vault)
    settings = uvicorn.Config(
        application(Site(vault, portal, log, issuers, desk=_desk(configuration, (vault, issuers), log))),
        lifespan="off",
        loop="uvloop",
        http="h11",
        log_config=None,
        access_log=False,  # paths hold what must not be in logs
        proxy_headers=False,  # ours (web/site.py) believes the configured proxies alone
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_DRAIN,
        h11_max_incomplete_event_size=_MAX_HEAD,
        ssl_certfile=chain,
        ssl_keyfile=key,
    )
    log.info(events.WEB_READY, pid=os.getpid(), url=portal.url, listen=[str(one.getsockname()[:2]) for one in sockets])
    await _unhurried(settings).serve(sockets)


def _issuers(configuration: Configuration, vault: Vault) -> IssuerSignIn:
    from mta.adapters.issuers import IssuerKeySets
    from mta.app.outside import resolver

    names = resolver(configuration)
    return IssuerKeySets(lambda: names, vault.clock)


def _desk(configuration: Configuration, below: tuple[Vault, IssuerSignIn], log: EventLog) -> Desk:
    """The readers' pages; their mail goes through the relay's own queue."""
    from mta.adapters.passkeys import WebAuthn
    from mta.adapters.preview.processes import PreviewProcesses
    from mta.app.courier import RelayCourier
    from mta.web.portal.desk import House, Outside, open_desk

    server = configuration.server
    assert server.portal is not None
    house = House(server.portal.url, server.hostname, server.postmaster, server.limits.message_size)
    passkeys = WebAuthn(server.portal.url, house.host)
    vault, issuers = below
    outside = Outside(RelayCourier(configuration), passkeys, issuers, PreviewProcesses(), _sms(configuration))
    return open_desk(vault, house, outside, log)


def _sms(configuration: Configuration) -> SmsSender | None:
    """Who carries codes to telephones, if anybody does."""
    gateway = configuration.protection.sms if configuration.protection else None
    if gateway is None:
        return None
    from mta.adapters.sms_gateway import HttpSmsGateway
    from mta.app.outside import resolver

    names = resolver(configuration)
    return HttpSmsGateway(gateway.url, gateway.token, gateway.media_type, gateway.body, lambda: names)


def bind_portal(configuration: Configuration) -> list[socket.socket]:
    """The listening socket of the portal. Raises UsageError."""
    portal = configuration.server.portal
    if portal is None:
        return []
    family = socket.AF_INET6 if ":" in portal.address else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((portal.address, portal.port))
        bound.listen(1024)
    except OSError as error:
        bound.close()
        raise UsageError(f"server.portal: {portal.address}:{portal.port} cannot be used: {error.strerror}") from error
    return [bound]


def is_portal(configuration: Configuration, given: socket.socket) -> bool:
    """Whether a socket that systemd hands over is bound to the portal's address."""
    portal = configuration.server.portal
    name = given.getsockname()
    return portal is not None and isinstance(name, tuple) and name[:2] == (portal.address, portal.port)


@contextlib.asynccontextmanager
async def _kept(vault: Vault, log: EventLog) -> AsyncIterator[None]:
    """The vault's chores, as long as the context lasts."""
    vault.standing.fresh = -1.0  # this may be the start after a restore: the witnesses are asked, whatever is kept
    chores: list[tuple[str, float, Callable[[Vault], Awaitable[object]]]] = [
        ("checkpoint", _CHECKPOINT, checkpoint),
        ("witnesses", _CHECKPOINT, attend),
        ("expire", _EXPIRE, expire),
        ("sweep", _SWEEP, sweep),
        ("containers", _SWEEP, sweep_containers),
        ("root-keys", _PROVE, lambda vault: prove_keys(vault, SYSTEM)),
        ("epochs", _SWEEP, keep_epochs),
    ]
    counted = log.metrics = Metrics()

    async def tell(vault: Vault) -> None:
        await asyncio.to_thread(write_numbers, vault.protection, counted.samples())

    chores.append(("numbers", _NUMBERS, tell))
    tasks = [asyncio.create_task(_again(name, pause, work, (vault, log))) for name, pause, work in chores]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _again(
    name: str, pause: float, work: Callable[[Vault], Awaitable[object]], whom: tuple[Vault, EventLog]
) -> None:
    """Do a chore again and again; what goes wrong is told, once a minute if it is the same, and tried again."""
    vault, log = whom
    told, when = "", 0.0
    while True:
        try:
            await work(vault)
            told = ""
        except MtaError as error:
            now = vault.clock.monotonic()
            if str(error) != told or now - when >= _REMIND:
                log.error(events.ALARM, alarm=f"vault.{name}", text=str(error))
                told, when = str(error), now
        except Exception as error:  # a defect must not end what time demands
            log.defect(f"vault.{name}", error)
        await asyncio.sleep(pause)
