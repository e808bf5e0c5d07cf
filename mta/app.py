"""The composition root: the only place that builds adapters and plugs them into the house."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import gc
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from mta.adapters.control import ask as ask_worker
from mta.config.contract import Configuration, HostPort, KeyPair, Listener, Server
from mta.errors import ShardLocked, UsageError
from mta.observe import events
from mta.observe.log import EventLog, capture_libraries
from mta.ports import ChainVerifier, Resolver

if TYPE_CHECKING:
    from mta.supervisor import Loaded

__all__ = ["ask_worker", "chain_verifier", "control_paths", "open_offline", "resolver", "run_worker", "serve"]

_SHARD = "shard-{:02d}"
_DESCRIPTORS_KEPT = 64  # for the queue, listeners, the log, outbound connections
_DESCRIPTORS_OF_A_SESSION = 2  # its socket, and the file of a large message


class SystemClock:
    """The machine's clock (ports.Clock)."""

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never jump."""
        return time.monotonic()


def chain_verifier() -> ChainVerifier:
    """The judge of certificate chains."""
    from mta.adapters.tls.chain import OpenSslChainVerifier

    return OpenSslChainVerifier()


def load(path: str) -> Configuration:
    """The configuration in `path` for this machine, now. Raises ConfigurationError."""
    from mta.config.load import load as read

    return read(path, now=time.time(), cpus=os.cpu_count() or 1)


def load_text(text: str, path: str) -> Configuration:
    """The same of `text` that stood in `path`. Raises ConfigurationError."""
    from mta.config.load import load_text as read

    return read(text, path, now=time.time(), cpus=os.cpu_count() or 1)


# --- the queue's files --------------------------------------------------------------------------------------------


def queue_folder(configuration: Configuration) -> Path:
    """The folder of the shards; a relative one stands beside connectors.yaml."""
    kind, _, place = configuration.server.queue.partition(":")
    if kind != "sqlite":
        raise UsageError(f"server.queue.store: only sqlite:FOLDER is known, not {configuration.server.queue!r}")
    return Path(configuration.path).resolve().parent / place  # an absolute place stands for itself


def shard_folders(configuration: Configuration) -> dict[int, Path]:
    """Every shard by number: those of the configured workers, and those that more workers left behind."""
    root = queue_folder(configuration)
    found = {number: root / _SHARD.format(number) for number in range(configuration.server.workers)}
    for path in root.glob("shard-*"):
        number = path.name.removeprefix("shard-")
        if number.isdigit() and path.is_dir():
            found[int(number)] = path
    return dict(sorted(found.items()))


def control_paths(configuration: Configuration) -> list[tuple[int, str]]:
    """Every shard, with the control socket that is there if a worker has it for its own.

    A worker that adopted further shards answers for those, too (`shards` of its answer says for which).
    """
    return [(number, str(folder / "control.sock")) for number, folder in shard_folders(configuration).items()]


@contextlib.asynccontextmanager
async def open_offline(configuration: Configuration, numbers: list[int]) -> AsyncIterator[list[Any]]:
    """Shards that nobody serves, opened under their locks. Raises ShardLocked."""
    from mta.adapters.sqlite import open_shard
    from mta.pipeline.site import Shard

    folders = shard_folders(configuration)
    shards: list[Shard] = []
    try:
        for number in numbers:
            if folders[number].is_dir():
                shards.append(Shard(number, open_shard(folders[number], loop=asyncio.get_running_loop())))
        yield shards
    finally:
        for shard in shards:
            await shard.store.close()


# --- the supervisor -----------------------------------------------------------------------------------------------


def serve(path: str, parent: int = 0) -> int:
    """`mta serve`: bind, drop privileges, start the workers, watch them. With a `parent` it does not outlive it."""
    from mta.adapters.process import die_with_parent, drop_privileges, make_private, own
    from mta.adapters.sockets import notify
    from mta.supervisor import Plan, Supervisor

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    loaded = _load_checked(path)
    configuration, user = loaded.configuration, loaded.configuration.server.user
    log = EventLog(2, configuration.server.log_format)
    capture_libraries(log)
    for warning in configuration.warnings:
        log.warning(events.CONFIG_WARNING, text=warning)
    folder = queue_folder(configuration)
    make_private(folder)
    own(str(folder), user)
    lock = _lock(folder)
    own(lock.name, user)
    sockets = _bind(configuration)
    if drop_privileges(user):
        loaded = _load_checked(path)  # with the eyes of the user: what it may not read is told now, in full
    if parent:
        die_with_parent(parent)  # a change of the user would have ended this
    plan = Plan(str(Path(path).resolve()), loaded, sockets, lambda: _load_checked(path), notify)
    log.info(events.SERVER_STARTED, hostname=configuration.server.hostname, workers=configuration.server.workers)
    try:
        return asyncio.run(Supervisor(plan, log).run())
    finally:
        lock.close()


def _load_checked(path: str) -> Loaded:
    """The configuration with the text it was made of. Raises ConfigurationError."""
    from mta.supervisor import Loaded

    try:
        text = Path(path).read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return Loaded(load(path), "")  # raises: it knows the words for it
    return Loaded(load_text(text, path), text)


def _lock(folder: Path) -> IO[str]:
    """One relay a queue: a second one would share its ports and never see its shards."""
    try:
        lock = open(folder / "serve.lock", "a", encoding="utf-8")  # noqa: SIM115 - held for life
    except OSError as error:
        raise UsageError(f"the queue {folder} cannot be used: {error.strerror}: {error.filename}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise UsageError(f"the queue {folder} is served by another process: is a relay running already?") from None
    return lock


def _bind(configuration: Configuration) -> tuple[tuple[tuple[int, Any], ...], ...]:
    from mta.adapters.sockets import bind, inherited

    server = configuration.server
    given = inherited()
    if given and len(given) != len(server.listen):
        raise UsageError(f"systemd hands over {len(given)} sockets, server.listen has {len(server.listen)} addresses")
    columns = [[taken] * server.workers for taken in given] or [
        bind(listener.address.host, listener.address.port, server.workers) for listener in server.listen
    ]
    return tuple(
        tuple((number, column[worker]) for number, column in enumerate(columns)) for worker in range(server.workers)
    )


# --- the demo -----------------------------------------------------------------------------------------------------


def make_demo_pki(folder: str) -> bool:
    """Make the demo's PKI in `folder` unless a usable one is there; whether it was made. Raises UsageError."""
    from mta.adapters.demo_pki import ensure_demo_pki

    return ensure_demo_pki(Path(folder), time.time())


async def open_mailbox(
    address: HostPort, hostname: str, pair: KeyPair, folder: str, arrived: Callable[[Any], None]
) -> asyncio.AbstractServer:
    """A mailbox host of the demo; `arrived` hears of each message (mailbox_sink.Arrival). Raises UsageError."""
    from mta.adapters.mailbox_sink import SinkPlace, open_sink

    place = SinkPlace(address.host, address.port, hostname, Path(pair.chain), Path(pair.key), Path(folder))
    try:
        return await open_sink(place, arrived)
    except OSError as error:
        reason = "is in use by another process" if error.errno == errno.EADDRINUSE else error.strerror
        raise UsageError(f"{address.host} port {address.port} {reason}: is a demo running already?") from error


# --- a worker -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Orders:
    """What the supervisor wrote into the first line of a worker's standard input."""

    config: str
    text: str  # of connectors.yaml, as the supervisor found it good
    worker: int
    workers: int
    sockets: tuple[tuple[int, int], ...]
    report: int
    parent: int


def run_worker() -> int:
    """`mta worker`: one process, started by the supervisor."""
    from mta.adapters.process import die_with_parent, ignore_terminal, lines

    ignore_terminal()
    told = lines(0)
    line = next(told, b"")
    if not line.startswith(b"{"):
        raise UsageError("a worker is started by `mta serve`")
    document = json.loads(line)
    document["sockets"] = tuple((number, descriptor) for number, descriptor in document["sockets"])
    orders = Orders(**document)
    die_with_parent(orders.parent)
    import uvloop

    uvloop.install()
    _tune_garbage_collection()
    asyncio.run(_work(orders, told))
    return 0


async def _work(orders: Orders, told: Iterator[bytes]) -> None:
    from mta.worker import Worker

    loop = asyncio.get_running_loop()
    parts = await _build(orders)
    parts.site.log.gather_with(loop.call_soon)
    lifeline = asyncio.Event()
    worker = Worker(parts)

    def listen() -> None:
        """Every further line is a new configuration; standard input ends when the supervisor does, however it does."""
        with contextlib.suppress(RuntimeError):  # the loop may have ended first
            for line in told:
                loop.call_soon_threadsafe(worker.reload, json.loads(line)["text"])
            loop.call_soon_threadsafe(lifeline.set)

    threading.Thread(target=listen, daemon=True, name="lifeline").start()
    try:
        await worker.run(lifeline)
    finally:
        parts.site.log.gather_with(None)


def _tune_garbage_collection() -> None:
    """What lives as long as the process is looked at no more; the rest seldom: messages die by reference count."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def _build(orders: Orders) -> Any:
    from mta.adapters.key_files import KeyFiles
    from mta.adapters.process import raise_descriptors
    from mta.adapters.smtp_connection import SmtpDialer
    from mta.config.index import ConnectorIndex
    from mta.pipeline.site import Contract, MessageIds, Site
    from mta.worker import Parts

    configuration = load_text(orders.text, orders.config)
    log = EventLog(2, configuration.server.log_format, worker=orders.worker)
    capture_libraries(log)
    clock = SystemClock()
    generation = iter(range(1, sys.maxsize))

    descriptors = raise_descriptors()

    def contract_of(known: Configuration) -> Contract:
        able = within_means(known, descriptors)
        return Contract(able, ConnectorIndex(able), next(generation))

    contract = contract_of(configuration)
    dialer = SmtpDialer(_timeouts(configuration.server))
    chance = random.Random()  # noqa: S311 - spreads retries, hides nothing
    ids = MessageIds(clock)
    site = Site(contract, clock, chain_verifier(), resolver(configuration), dialer, log, chance, ids, KeyFiles())
    listening = Listeners(orders, contract, log)

    def renew(fresh: Contract) -> None:
        site.verifier = chain_verifier()
        site.resolver = resolver(fresh.configuration)
        site.dialer = SmtpDialer(_timeouts(fresh.configuration.server))
        site.keys = KeyFiles()

    def ready() -> None:
        os.write(orders.report, b"+")

    return Parts(
        site=site,
        shards=_shards(orders, configuration, log),
        listening=listening,
        load=lambda text: contract_of(load_text(text, orders.config)),
        renew=renew,
        control=lambda worker: _control(worker, configuration, orders, log),
        ready=ready,
    )


def within_means(configuration: Configuration, descriptors: int) -> Configuration:
    """At most as many sessions as descriptors can serve: one too many hears 421, instead of being cut off."""
    most = max(1, (descriptors - _DESCRIPTORS_KEPT) // _DESCRIPTORS_OF_A_SESSION)
    server = configuration.server
    if server.limits.connections <= most:
        return configuration
    limits = replace(server.limits, connections=most)
    return replace(configuration, server=replace(server, limits=limits))


def _shards(orders: Orders, configuration: Configuration, log: EventLog) -> tuple[Any, ...]:
    """This worker's own shard, and every one whose number has no worker any more."""
    from mta.adapters.sqlite import open_shard
    from mta.pipeline.site import Shard

    loop = asyncio.get_running_loop()
    folders = shard_folders(configuration)
    mine = [number for number in folders if number % orders.workers == orders.worker]
    shards = []
    for number in sorted(mine, key=lambda number: number != orders.worker):
        try:
            store = open_shard(folders[number], loop=loop)
        except ShardLocked:
            if number == orders.worker:
                raise
            continue  # somebody looks at it offline: the next start finds it
        shards.append(Shard(number, store))
        if number != orders.worker:
            log.info(events.SHARD_ADOPTED, shard=number)
        for alarm in store.alarms:
            log.error(events.SHARD_ALARM, shard=number, alarm=alarm)
    return tuple(shards)


async def _control(worker: Any, configuration: Configuration, orders: Orders, log: EventLog) -> asyncio.AbstractServer:
    from mta.adapters.control import serve_control
    from mta.queue.operations import answer

    async def handle(request: dict[str, Any]) -> dict[str, Any]:
        known = await answer(worker.shards, request, time.time(), worker.nudge)
        return {**known, "shards": [shard.number for shard in worker.shards]}

    path = shard_folders(configuration)[orders.worker] / "control.sock"
    return await serve_control(str(path), handle, log)


def resolver(configuration: Configuration) -> Resolver:
    """Look-ups of names, the way the configuration says."""
    return look_ups(configuration.server)


def look_ups(server: Server, nameserver: str = "") -> Resolver:
    """Look-ups of names by `nameserver` (HOST:PORT), or by those of the server object. Raises UsageError."""
    from mta.adapters.dns import DnsResolver

    if not nameserver:
        return DnsResolver(tuple((name.host, name.port) for name in server.nameservers), server.trust_ad)
    host, _, port = nameserver.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--nameserver: expected HOST:PORT, saw {nameserver!r}")
    return DnsResolver(((host.strip("[]"), int(port)),), server.trust_ad)


def _timeouts(server: Server) -> Any:
    from mta.adapters.smtp_connection import Timeouts

    limits = server.limits
    return Timeouts(
        connect=limits.connect_timeout,
        tls=limits.tls_timeout,
        greeting=limits.greeting_timeout,
        helo=limits.helo_timeout,
        command=limits.helo_timeout,
        mail=limits.mail_timeout,
        rcpt=limits.rcpt_timeout,
        data_init=limits.data_init_timeout,
        data_block=limits.data_block_timeout,
        data_final=limits.data_final_timeout,
        quit=limits.quit_timeout,
    )


class Listeners:
    """The inherited sockets of a worker with an SMTP server on each (worker.Listening)."""

    def __init__(self, orders: Orders, contract: Any, log: EventLog) -> None:
        self._orders = orders
        self._log = log
        self._servers: list[asyncio.AbstractServer] = []
        self._open: set[Any] = set()
        self._settings: dict[int, Any] = {}
        self.renew(contract)

    def renew(self, contract: Any) -> None:
        """Settings for new connections; a certificate that cannot be used raises and changes nothing."""
        server: Server = contract.configuration.server
        tls = _server_tls(server, contract.index.any_client_certificate)
        self._settings = {
            number: server_settings(server, server.listen[number], tls)
            for number, _ in self._orders.sockets
            if number < len(server.listen)
        }

    async def open(self, relay: Any) -> None:
        """Accept connections."""
        import socket

        loop = asyncio.get_running_loop()
        for number, descriptor in self._orders.sockets:
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
    return server_context(Path(server.certificate.chain), Path(server.certificate.key), ask_client=ask_client)


def server_settings(server: Server, listener: Listener, tls: Any) -> Any:
    """What one listener needs to know; limits of the same name are carried over."""
    from mta.adapters.smtp_server.settings import ServerSettings

    known = {field.name for field in fields(ServerSettings)}
    limits = {field.name: getattr(server.limits, field.name) for field in fields(server.limits) if field.name in known}
    return ServerSettings(
        hostname=server.hostname, tls=tls, implicit_tls=listener.tls == "implicit", proxy=listener.proxy, **limits
    )
