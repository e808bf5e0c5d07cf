"""`server.metrics`: what the workers and the supervisor have counted, on one page."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from mta.adapters.control import reachable
from mta.app.certificates import certificates
from mta.app.folders import control_paths
from mta.app.log_witnesses import witness_samples
from mta.app.oldest import Oldest
from mta.app.portal_numbers import portal_samples
from mta.contract.ailments import broken
from mta.contract.certificates import Known, known_certificates
from mta.contract.configuration import Configuration
from mta.errors import UsageError
from mta.observe import metrics
from mta.observe.log import EventLog
from mta.observe.metrics import Metrics, Sample, exposition
from mta.pipeline.site import Shard
from mta.queue.operations import answer, joined

_OLDEST = Oldest()  # of this worker
_PATIENCE = 5.0  # seconds for each worker
_LONGEST = 1 << 26
_MOST_CERTIFICATES = 2000


def bind_metrics(configuration: Configuration) -> socket.socket | None:
    """The socket of `server.metrics`, if it is wanted. Raises UsageError where the address is taken."""
    from mta.adapters.sockets import bind

    address = configuration.server.metrics
    return bind(address.host, address.port, 1)[0] if address else None


async def expose(
    bound: socket.socket, configuration: Callable[[], Configuration], counted: Metrics, log: EventLog
) -> asyncio.AbstractServer:
    """Serve the page, asking every worker each time."""
    from mta.adapters.metrics_server import serve_metrics

    named: tuple[Configuration, list[Known]] | None = None  # read once for each configuration

    async def page() -> str:
        nonlocal named
        known = configuration()
        workers = [(number, path) for number, path in control_paths(known) if number < known.server.workers]
        answers = await asyncio.gather(*(_ask(path) for _, path in workers))
        if named is None or named[0] is not known:
            named = (known, await asyncio.to_thread(known_certificates, known))
        ends = await asyncio.to_thread(_certificates, *named)
        stopped = [(metrics.BROKEN.name, (name, direction), 1.0) for name, direction, _ in broken(known)]
        seen = await asyncio.to_thread(witness_samples, known)
        seen += await asyncio.to_thread(portal_samples, known)
        samples = [("", sample) for sample in (*counted.samples(), *stopped, *ends, *seen)]
        for (number, _), found in zip(workers, answers, strict=True):
            up = (metrics.WORKERS_UP.name, (), float(found is not None))
            samples += [(str(number), sample) for sample in (up, *(found or ()))]
        return exposition(samples)

    async def ready() -> str:
        """Why mail cannot be taken by every worker; empty: it can."""
        known = configuration()
        paths = [(n, path) for n, path in control_paths(known) if n < known.server.workers]
        answers = await asyncio.gather(*(_ask(path) for _, path in paths))
        silent = [str(number) for (number, _), found in zip(paths, answers, strict=True) if found is None]
        return f"workers that do not answer: {', '.join(silent)}" if silent else ""

    return await serve_metrics(bound, page, log, ready)


async def _ask(path: str) -> list[Sample] | None:
    """What one worker has counted; None: it does not answer."""
    try:
        async with asyncio.timeout(_PATIENCE):
            with reachable(path) as short:
                reader, writer = await asyncio.open_unix_connection(short, limit=_LONGEST)
            try:
                writer.write(b'{"command": "metrics"}\n')
                found = json.loads(await reader.readline())
            finally:
                writer.close()
        return [(str(name), tuple(map(str, labels)), float(number)) for name, labels, number in found["samples"]]
    except (OSError, TimeoutError, ValueError, KeyError, TypeError, UsageError):
        return None


async def worker_samples(worker: Any, shards: Sequence[Shard], counted: Metrics) -> dict[str, Any]:
    """What a worker answers: its counts, the queues that it answers for and its sessions."""
    parts = answer(shards, {"command": "counts"}, time.time(), lambda: None)
    counts = joined([part async for part in parts])
    gauges: list[Sample] = [(metrics.QUEUE.name, (state,), number) for state, number in counts["states"].items()]
    gauges.append((metrics.QUEUE_OCTETS.name, (), counts["octets"]))
    gauges.append((metrics.SESSIONS.name, (), worker.relay.sessions))
    ages = await _OLDEST.ages(shards, time.time())
    gauges += [(metrics.OLDEST.name, (connector,), age) for connector, age in ages.items()]
    efforts = [effort for shard in shards if (effort := getattr(shard.store, "effort", None))]
    names = (metrics.COMMITS.name, metrics.COMMIT_JOBS.name, metrics.COMMIT_SECONDS.name)
    gauges += [(name, (), sum(column)) for name, column in zip(names, zip(*efforts, strict=True), strict=False)]
    return {"samples": [*counted.samples(), *gauges]}


def _certificates(configuration: Configuration, named: list[Known]) -> list[Sample]:
    """The most urgent ones: of ten thousand partners not every CA needs a series."""
    now = time.time()
    ending = sorted((each for each in certificates(configuration, named) if each.not_after), key=lambda e: e.not_after)
    found: dict[tuple[str, ...], float] = {}
    for each in ending[:_MOST_CERTIFICATES]:
        found.setdefault((each.kind, each.where, each.subject), each.days_left(now))  # a series may stand there once
    return [(metrics.DAYS_LEFT.name, labels, days) for labels, days in found.items()]
