"""`mta worker`: one process of the relay, its parts plugged together."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import gc
import json
import os
import pickle
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mta.app.contracts import Contracts
from mta.app.folders import control_place, state_folder
from mta.app.listeners import Listeners
from mta.app.shards import POLL_EVERY, answering, is_shared, open_shards, renew_shared
from mta.app.worker_site import make_worker_site, renew
from mta.contract.configuration import Configuration
from mta.contract.handed import Handed, unpack
from mta.contract.server import Listener
from mta.errors import UsageError
from mta.observe.log import EventLog, capture_libraries
from mta.observe.metrics import Metrics

if TYPE_CHECKING:
    from mta.pipeline.site import Contract, Shard, Site
    from mta.queue.chores import Chore
    from mta.queue.reports import DailyReports
    from mta.worker import Parts, Worker

_DIRECTORY_EVERY = 60.0  # seconds between looks at folders of certificates, whether anybody asks or not
_POLICIES_EVERY = 3600.0  # seconds between two looks at MTA-STS policies that grow old


@dataclass(frozen=True, slots=True)
class Orders:
    """What the supervisor wrote into the first line of a worker's standard input."""

    handed: Handed  # the configuration in force, as the supervisor judged it
    worker: int
    workers: int
    sockets: tuple[tuple[int, int], ...]
    listen: tuple[Listener, ...]  # what the sockets were bound for
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
    document["handed"] = Handed.read(document["handed"])
    document["sockets"] = tuple((number, descriptor) for number, descriptor in document["sockets"])
    document["listen"] = pickle.loads(base64.b64decode(document["listen"]))  # noqa: S301 - our own supervisor's
    orders = Orders(**document)
    die_with_parent(orders.parent)
    import uvloop

    uvloop.install()
    gc.set_threshold(50_000, 20, 50)  # seldom: messages die by reference count
    asyncio.run(_work(orders, told))
    return 0


async def _work(orders: Orders, told: Iterator[bytes]) -> None:
    from mta.worker import Worker

    loop = asyncio.get_running_loop()
    parts = await _build(orders)
    gc.freeze()  # what is there now lives as long as the process and is looked at no more
    parts.site.log.gather_with(loop.call_soon)
    lifeline = asyncio.Event()
    worker = Worker(parts)

    def listen() -> None:
        """Every further line is a new configuration; standard input ends when the supervisor does, however it does."""
        with contextlib.suppress(RuntimeError):  # the loop may have ended first
            for line in told:
                loop.call_soon_threadsafe(worker.reload, Handed.read(json.loads(line)["handed"]))
            loop.call_soon_threadsafe(lifeline.set)

    threading.Thread(target=listen, daemon=True, name="lifeline").start()
    try:
        await worker.run(lifeline)
    finally:
        parts.site.log.gather_with(None)


async def _build(orders: Orders) -> Parts:
    """Everything that the worker runs, plugged together from what it was ordered."""
    from mta.app.reports import daily_reports, report_spool
    from mta.app.second_opinion import Sampler
    from mta.pipeline.intake import Intake
    from mta.worker import Parts

    configuration = unpack(orders.handed.packed)
    log = EventLog(2, configuration.server.log_format, worker=orders.worker)
    log.metrics = Metrics()
    capture_libraries(log)
    contracts = Contracts(orders.handed.text)
    contract = contracts.make(configuration)
    site = make_worker_site(contract, log)
    listening = Listeners(orders.sockets, orders.listen, contract, log)
    shards = await open_shards(orders.worker, orders.workers, configuration, log)
    spool = report_spool(configuration)
    site.arrivals = Intake(site, spool).offer
    site.second_opinion = Sampler(site).offer

    @functools.cache
    def daily(worker: Worker) -> DailyReports:
        return daily_reports(site, shards[0], spool, f"worker-{orders.worker:02d}", worker.wake)

    return Parts(
        site=site,
        shards=shards,
        listening=listening,
        load=contracts.load,
        renew=functools.partial(_renew, site, shards),
        control=lambda worker: _control(worker, daily(worker), configuration, orders.worker, contracts.in_force),
        ready=functools.partial(_tell_ready, orders.report),
        chores=lambda worker: _chores(worker, daily(worker)),
        first=orders.worker == 0,
    )


def _chores(worker: Worker, daily: DailyReports) -> tuple[Chore, ...]:
    """What a worker does beside the mail."""
    from mta.app.probe import probing_chore
    from mta.app.reports import report_chores
    from mta.queue.chores import Chore

    site = worker.site
    return (
        *report_chores(daily),
        Chore("mta-sts", _POLICIES_EVERY, lambda: site.policies.renew(), alone=True),
        *_shared_chores(worker),
        Chore("certificates", _DIRECTORY_EVERY, lambda: site.directory.refresh(), at_once=True),
        probing_chore(site, worker.shards[0], worker.wake),
    )


def _shared_chores(worker: Worker) -> tuple[Chore, ...]:
    """Mail that other nodes have given back is looked for, and the store may say that there is some."""
    from mta.queue.chores import Chore

    if not any(map(is_shared, worker.shards)):
        return ()

    async def poll() -> None:
        worker.wake()

    return (Chore("shared queue", POLL_EVERY, poll),)


def _renew(site: Site, shards: tuple[Shard, ...], contract: Contract) -> None:
    renew(site, contract)
    renew_shared(shards, contract.configuration)


def _tell_ready(descriptor: int) -> None:
    os.write(descriptor, b"+")


async def _control(
    worker: Worker, daily: DailyReports, configuration: Configuration, number: int, in_force: dict[str, Any]
) -> asyncio.AbstractServer:
    from mta.adapters.control import serve_control
    from mta.app.courier import FOLDER
    from mta.app.looking_on import or_look_on
    from mta.app.metrics import worker_samples
    from mta.app.reports import answer_reports
    from mta.app.rescue import answer_rescue
    from mta.queue.letter import LETTER, queue_letter
    from mta.queue.operations import answer
    from mta.queue.portal import queue_code, take_answer

    mine, log = answering(worker.shards, first=number == 0), worker.site.log

    async def handle(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        if str(request.get("command", "")).startswith("reports-"):
            yield await answer_reports(daily, request)
        elif request.get("command") == "metrics" and log.metrics is not None:
            yield await worker_samples(worker, mine, log.metrics)
        elif request.get("command") == LETTER:
            told = await queue_letter(worker.site, worker.shards, request)
            worker.nudge()
            yield told
        elif request.get("command") == "portal-code":
            yield await queue_code(worker.relay, request)
        elif request.get("command") == "portal-answer":
            yield await take_answer(worker.relay, request, state_folder(configuration) / FOLDER)
        elif request.get("command") == "configuration":
            yield dict(in_force)
        else:
            yield {"shards": sorted({number, *(shard.number for shard in worker.shards)})}
            if str(request.get("command", "")).startswith("rescue"):
                coming = answer_rescue(mine, worker.site.contract.index, request, time.time(), worker.nudge)
            else:
                coming = answer(mine, request, time.time(), worker.nudge)
            async for part in coming:
                yield part

    return await serve_control(control_place(configuration, number), or_look_on(log, handle), log)
