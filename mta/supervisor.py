"""The processes: bind, drop privileges, start the workers, watch them, drain, reload.

The supervisor relays nothing itself. It holds every listening socket, so connections that wait for a dead worker
wait for its successor. A worker's standard input is its lifeline: it brings the orders, then every new configuration,
and ends with the supervisor.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import pickle
import signal
import sys
import time
from dataclasses import dataclass, field

from mta.contract.ailments import Told
from mta.contract.configuration import Configuration
from mta.contract.listening import demand_servable, only_at_restart
from mta.contract.watch import FileWatch
from mta.errors import ConfigurationError
from mta.observe import events
from mta.observe.log import EventLog
from mta.plan import Loaded, Plan

_QUICK_DEATH = 5.0  # seconds: a worker that dies sooner is restarted with growing patience
_LONGEST_PAUSE = 10.0
_LONGEST_START = 30.0  # a worker that takes longer is absent as well
_FAILURES = 2  # starts in a row that came to nothing: from then on clients are told so
_GRACE = 5.0  # seconds beyond shutdown_timeout before a worker is killed
_SETTLE = 1.0  # seconds, at the most, that changed files are given to come to rest
# After a reload, files are left alone for ten times as long as it took: reloads get a tenth of the time at most.
_PAUSE_FACTOR = 10.0
_MENDED_BY_TIME = 60.0  # seconds between looks at what no change of a file would mend
_UNWATCHED = 5.0  # seconds between looks whether watching was switched on


@dataclass(slots=True)
class _Worker:
    number: int
    process: asyncio.subprocess.Process | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    settled: asyncio.Event = field(default_factory=asyncio.Event)  # it serves, or it is known that it cannot
    started: float = 0.0
    pause: float = 0.0
    failures: int = 0  # in a row

    def running(self) -> asyncio.subprocess.Process | None:
        """Its process, as long as that lives."""
        return self.process if self.process is not None and self.process.returncode is None else None

    def tell(self, document: dict[str, object]) -> None:
        """One line into its standard input; a worker that dies meanwhile is told again when it is started."""
        process = self.running()
        if process is not None and process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(json.dumps(document).encode() + b"\n")


class Supervisor:
    """Runs one `mta serve`."""

    def __init__(self, plan: Plan, log: EventLog) -> None:
        self._plan = plan
        self._log = log
        self._workers = [_Worker(number) for number in range(len(plan.sockets))]
        self._stopping = asyncio.Event()
        self._serving = asyncio.Event()  # some worker does
        self._loaded = plan.loaded
        self._files = FileWatch(plan.loaded.files)
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._told = Told()
        self._looked = 0.0  # when broken connectors were looked at last

    @property
    def configuration(self) -> Configuration:
        """The one in force."""
        return self._loaded.configuration

    async def run(self) -> int:
        """Until SIGTERM or SIGINT; 0 when everything drained."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        self._tell_broken()
        keepers = [loop.create_task(self._keep(worker)) for worker in self._workers]
        for role in self._plan.roles:
            role.renew(self.configuration)
        background = [loop.create_task(self._announce()), loop.create_task(self._watch())]
        await self._stopping.wait()
        for task in background:
            task.cancel()
        self._plan.notify("STOPPING=1")
        self._log.info(events.SERVER_STOPPING)
        return await self._stop(keepers)

    async def _announce(self) -> None:
        """Once every worker serves, or is known not to while another does."""
        for worker in self._workers:
            await worker.settled.wait()
        await self._serving.wait()
        serving = sum(worker.ready.is_set() for worker in self._workers)
        addresses = [str(listener.address) for listener in self._plan.listen]
        ports = [bound.getsockname()[1] for _, bound in self._plan.sockets[0]]
        self._plan.notify("READY=1")
        self._log.info(events.SERVER_READY, listen=addresses, ports=ports, workers=serving)

    async def _keep(self, worker: _Worker) -> None:
        """Start it, and start it again whenever it dies."""
        while not self._stopping.is_set():
            try:
                code = await self._live(worker)
            except OSError as error:
                code = f"{sys.executable} cannot be started by this user: {error.strerror}"
            served = worker.ready.is_set()
            worker.failures = 0 if served else worker.failures + 1
            worker.ready.clear()
            if self._stopping.is_set():
                return
            lived = time.monotonic() - worker.started
            quick = lived < _QUICK_DEATH or not served
            worker.pause = min(_LONGEST_PAUSE, max(0.1, worker.pause * 2)) if quick else 0.0
            self._log.error(
                events.WORKER_DIED, worker=worker.number, status=code, lived=round(lived, 1), again_in=worker.pause
            )
            self._doors()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), worker.pause)

    def _doors(self) -> None:
        """Clients of a worker that fails to start hear 421, not silence; what all share is served if one lives."""
        if self._stopping.is_set():
            return
        none_lives = not any(worker.ready.is_set() for worker in self._workers)
        for worker, doorman in zip(self._workers, self._plan.doormen, strict=True):
            late = time.monotonic() - worker.started >= _LONGEST_START
            absent = not worker.ready.is_set() and (late or worker.failures >= _FAILURES)
            if absent:
                worker.settled.set()
            if absent and (none_lives or not self._plan.shared):
                # RFC 5321 §3.8, RFC 3463 §3.4: the system takes no messages now
                line = f"421 4.3.2 {self.configuration.server.hostname} Service not available, try again later\r\n"
                if doorman.begin(line.encode()):
                    self._log.error(events.WORKER_ABSENT, worker=worker.number, failures=worker.failures)
            elif doorman.end():
                self._log.info(events.WORKER_BACK, worker=worker.number, turned_away=doorman.answered)

    async def _live(self, worker: _Worker) -> int | str:
        """From its start to its end; the exit status."""
        await self._start(worker)
        assert worker.process is not None
        if self._stopping.is_set():
            worker.process.terminate()  # the order to stop came while it was being started
        return await worker.process.wait()

    async def _start(self, worker: _Worker) -> None:
        """A new process: sockets by inheritance, its orders in the first line of standard input."""
        pairs = self._plan.sockets[worker.number]
        report, worker_end = os.pipe()
        orders = {
            "handed": self._loaded.handed.document(),
            "worker": worker.number,
            "workers": len(self._workers),
            "sockets": [[number, bound.fileno()] for number, bound in pairs],
            "listen": base64.b64encode(pickle.dumps(self._plan.listen)).decode(),
            "report": worker_end,
            "parent": os.getpid(),
        }
        worker.started = time.monotonic()
        try:
            worker.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "mta",
                "worker",
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(*(bound.fileno() for _, bound in pairs), worker_end),
                process_group=0,  # a terminal's interrupt is for the supervisor
            )
        except OSError:
            os.close(report)
            raise
        finally:
            os.close(worker_end)
        worker.tell(orders)
        self._follow(worker, report)
        asyncio.get_running_loop().call_later(_LONGEST_START, self._doors)

    def _follow(self, worker: _Worker, report: int) -> None:
        """The worker writes a byte once it serves; the end of the pipe is its end."""
        loop = asyncio.get_running_loop()

        def readable() -> None:
            data = os.read(report, 64)
            if data:
                worker.ready.set()
                worker.settled.set()
                self._serving.set()
                self._doors()
            else:
                loop.remove_reader(report)
                os.close(report)

        loop.add_reader(report, readable)

    def _reload(self) -> None:
        task = asyncio.get_running_loop().create_task(self._reload_checked())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _watch(self) -> None:
        """Renewed certificates, keys, lists and connectors.yaml itself are taken over without being told."""
        pause_after = 0.0
        while True:
            every = self._loaded.configuration.server.watch
            next_look = min(every, _SETTLE) if self._files.being_written else every or _UNWATCHED
            await asyncio.sleep(max(pause_after, next_look))
            pause_after = 0.0
            if not every:
                continue
            changed = await asyncio.to_thread(self._files.changed)
            if not changed and self._told.broken and time.monotonic() - self._looked > _MENDED_BY_TIME:
                await self._look_at_broken()
            if changed:
                self._log.info(events.FILES_CHANGED, files=list(changed))
                begun = time.monotonic()
                await self._reload_checked()
                pause_after = _PAUSE_FACTOR * (time.monotonic() - begun)

    async def _look_at_broken(self) -> None:
        """What is not valid yet, or was so by a wrong clock, becomes so without a file having changed."""
        self._looked = time.monotonic()
        with contextlib.suppress(ConfigurationError):
            fresh = await asyncio.to_thread(self._plan.load)
            if self._told.differs(fresh.configuration):
                await self._reload_checked()

    def _tell_broken(self) -> None:
        self._looked = time.monotonic()
        broken, mended = self._told.take(self.configuration)
        for connector, direction, text in broken:
            self._log.error(events.CONNECTOR_BROKEN, connector=connector, direction=direction, text=text)
        for connector, direction in mended:
            self._log.info(events.CONNECTOR_MENDED, connector=connector, direction=direction)

    async def _reload_checked(self) -> None:
        """The new file is checked here first: a bad one reaches no worker, not even one that is started later."""
        async with self._reloading:
            try:
                fresh = await asyncio.to_thread(self._plan.load)
                demand_servable(self._plan.listen, fresh.configuration)
            except ConfigurationError as error:
                self._files.refuse(error.files)
                self._log.error(events.SERVER_RELOAD_REFUSED, problems=list(error.problems))
            except Exception as error:  # a defect must not leave us deaf to the next configuration
                self._log.defect("reload", error)
            else:
                self._files.take(fresh.files)
                self._hand_on(fresh)

    def _hand_on(self, fresh: Loaded) -> None:
        """What was found good goes to the workers that live, and to those that will be started."""
        old, new = self._loaded.configuration, fresh.configuration
        for text in only_at_restart(self._plan.listen, old.server, new.server):
            self._log.warning(events.CONFIG_WARNING, text=text)
        self._loaded = fresh
        for worker in self._workers:
            worker.tell({"handed": fresh.handed.document()})
        for role in self._plan.roles:
            role.renew(new)
        self._tell_broken()
        self._log.info(events.SERVER_RELOADED, digest=new.digest[:12])

    async def _stop(self, keepers: list[asyncio.Task[None]]) -> int:
        running = [process for worker in self._workers if (process := worker.running())]
        for process in running:
            process.terminate()
        for doorman in self._plan.doormen:
            doorman.end()
        for column in self._plan.sockets:
            for _, bound in column:
                bound.close()  # who comes now is refused at once and does not wait for nobody
        patience = self._loaded.configuration.server.limits.shutdown_timeout + _GRACE
        roles = asyncio.gather(*(role.stop() for role in self._plan.roles))
        _, late = await asyncio.wait(keepers, timeout=patience)
        await roles  # each has a bound of its own
        for process in running:
            if process.returncode is None:
                process.kill()
        for keeper in late:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        self._log.info(events.SERVER_STOPPED, killed=len(late))
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)  # a second signal must not spoil a good end
        return 0
