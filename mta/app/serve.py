"""`mta serve`: bind, drop privileges, start the workers, watch them."""

from __future__ import annotations

import asyncio
import fcntl
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import IO

from mta.app.folders import queue_folder, state_folder
from mta.app.load import load, load_text
from mta.contract.configuration import Configuration
from mta.contract.handed import Handed
from mta.contract.server import Listener
from mta.contract.watch import stamp
from mta.errors import ConfigurationError, UsageError
from mta.observe import events
from mta.observe.log import EventLog, capture_libraries
from mta.observe.metrics import Metrics
from mta.plan import Loaded, Plan
from mta.role import RoleKeeper
from mta.supervisor import Supervisor

Sockets = tuple[tuple[tuple[int, socket.socket], ...], ...]  # of each worker, with the number in server.listen


def serve(path: str, parent: int = 0) -> int:
    """`mta serve`: bind, drop privileges, start the workers, watch them. With a `parent` it does not outlive it."""
    from mta.adapters.privileges import drop_privileges
    from mta.adapters.process import die_with_parent
    from mta.app.metrics import bind_metrics
    from mta.app.web_role import web_role

    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    loaded = _load_checked(path)
    configuration, user = loaded.configuration, loaded.configuration.server.user
    log = EventLog(2, configuration.server.log_format)
    capture_libraries(log)
    for warning in configuration.warnings:
        log.warning(events.CONFIG_WARNING, text=warning)
    locks = _move_in(configuration, log)
    sockets, pages = _bind(configuration)
    numbers = bind_metrics(configuration)
    if drop_privileges(user):
        loaded = _load_checked(path)  # with the eyes of the user: what it may not read is told now, in full
    if parent:
        die_with_parent(parent)  # a change of the user would have ended this
    plan = _plan(path, loaded, configuration.server.listen, sockets)
    plan = replace(plan, roles=(RoleKeeper(web_role(configuration, pages), log),))
    log.info(events.SERVER_STARTED, hostname=configuration.server.hostname, workers=configuration.server.workers)
    try:
        return asyncio.run(_supervise(plan, numbers, log))
    finally:
        for lock in locks:
            lock.close()


def _plan(path: str, loaded: Loaded, listen: tuple[Listener, ...], sockets: Sockets) -> Plan:
    """`listen` is what the sockets were bound for."""
    from mta.adapters.sockets import Doorman, notify

    clear = [listener.tls != "implicit" for listener in listen]
    return Plan(
        loaded=loaded,
        listen=listen,
        sockets=sockets,
        doormen=tuple(Doorman([(bound, clear[number]) for number, bound in column]) for column in sockets),
        shared=len(sockets) > 1 and sockets[0] == sockets[1],
        load=lambda: _load_checked(path),
        notify=notify,
    )


async def _supervise(plan: Plan, numbers: socket.socket | None, log: EventLog) -> int:
    """Run the workers, and answer who asks for numbers."""
    from mta.app.metrics import expose

    supervisor = Supervisor(plan, log)
    log.metrics = Metrics(supervisor=True)
    if numbers is None:
        return await supervisor.run()
    page = await expose(numbers, lambda: supervisor.configuration, log.metrics, log)
    try:
        return await supervisor.run()
    finally:
        page.close()


def _load_checked(path: str) -> Loaded:
    """The configuration, judged once for all processes. Raises ConfigurationError."""
    own = {path: stamp(path)}  # before it is read: what changes meanwhile is seen by the next look
    try:
        text = Path(path).read_bytes().decode()
        configuration = load_text(text, path)
    except (OSError, UnicodeDecodeError):
        configuration, text = load(path), ""  # raises: it knows the words for it
    except ConfigurationError as error:
        raise ConfigurationError(error.problems, {**error.files, **own}) from None
    return Loaded(configuration, Handed.of(configuration, text), {**configuration.files, **own})


def _move_in(configuration: Configuration, log: EventLog) -> list[IO[str]]:
    """The relay's folders and their locks."""
    user = configuration.server.user
    queue, state = queue_folder(configuration), state_folder(configuration)
    locks = [_take(queue, user, "server.queue", log)]
    if state != queue:
        locks.append(_take(state, user, "server.state", log))
    return locks


def _take(folder: Path, user: str, key: str, log: EventLog) -> IO[str]:
    """A folder and its lock, with the rights of the relay's user: it may put links into its own house."""
    from mta.adapters.privileges import acting_for, make_house, strangers

    make_house(folder, user, key)
    with acting_for(folder, user):
        for path in strangers(folder, user) if user else ():
            text = f"{path} does not belong to {user}, who cannot use it: chown -h {user} {path}"
            log.warning(events.CONFIG_WARNING, text=text)
        return _lock(folder, key)


def _lock(folder: Path, key: str) -> IO[str]:
    """One relay a queue: a second one would share its ports and never see its shards."""
    what = f"the {key.removeprefix('server.')} {folder}"
    try:
        lock = open(folder / "serve.lock", "a", encoding="utf-8")  # noqa: SIM115 - held for life
    except OSError as error:
        raise UsageError(f"{what} cannot be used: {error.strerror}: {error.filename}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise UsageError(f"{what} is served by another process: is a relay running already?") from None
    return lock


def _bind(configuration: Configuration) -> tuple[Sockets, list[socket.socket]]:
    """What each worker listens on, and the portal's socket: bound here, or taken over from systemd."""
    from mta.adapters.sockets import bind, inherited
    from mta.app.web import bind_portal, is_portal

    server, given = configuration.server, inherited()
    pages = [one for one in given if is_portal(configuration, one)][:1]
    given = [one for one in given if one not in pages]
    if given and len(given) != len(server.listen):
        raise UsageError(f"systemd hands over {len(given)} sockets, server.listen has {len(server.listen)} addresses")
    columns = [[taken] * server.workers for taken in given] or [
        bind(listener.address.host, listener.address.port, server.workers) for listener in server.listen
    ]
    sockets = tuple(
        tuple((number, column[worker]) for number, column in enumerate(columns)) for worker in range(server.workers)
    )
    return sockets, pages or bind_portal(configuration)
