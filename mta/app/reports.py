"""Daily reports: their spool beside the queue, the chores of a worker, and what a command does without one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from mta.adapters.report_spool import FileReportSpool
from mta.app.folders import in_house, state_folder
from mta.app.shards import open_offline
from mta.app.site import alone, make_site
from mta.contract.configuration import Configuration
from mta.errors import StorageError, UsageError
from mta.observe.log import EventLog
from mta.pipeline.site import Site
from mta.queue.chores import Chore
from mta.queue.reports import LOOK_EVERY, WRITE_EVERY, DailyReports, packed_name

_PATIENCE = 25.0  # seconds: less than whoever asks has


def report_spool(configuration: Configuration) -> FileReportSpool:
    """Where counts and reports are kept."""
    return FileReportSpool(state_folder(configuration) / "reports")


def daily_reports(
    site: Site, shard: Any, spool: FileReportSpool, writer: str, wake: Callable[[], None]
) -> DailyReports:
    """The reports of one worker; its mails go into `shard`."""
    from mta.adapters.https_post import HttpsPoster
    from mta.queue.report_delivery import Delivery

    return DailyReports(site, spool, Delivery(site, shard, HttpsPoster(lambda: site.resolver), wake), writer)


def report_chores(daily: DailyReports) -> tuple[Chore, ...]:
    """What a worker does about reports beside its mail."""
    return (
        Chore("report-counts", WRITE_EVERY, daily.write_counts, last=True),
        Chore("reports", LOOK_EVERY, daily.look_after, at_once=True, alone=True),
    )


async def _answer(daily: DailyReports, request: dict[str, Any]) -> dict[str, Any]:
    """What takes longer than whoever asks can wait goes on without them."""
    if request.get("command") == "reports-write":
        await daily.write_counts()
        return {}
    work = asyncio.ensure_future(daily.send(str(request.get("day", ""))))
    done, _ = await asyncio.wait({work}, timeout=_PATIENCE)
    if not done:
        work.add_done_callback(lambda task: task.cancelled() or task.exception())
        raise UsageError("this takes a while and goes on by itself: see mta reports list")
    return {"reports": work.result()}


async def answer_reports(daily: DailyReports, request: dict[str, Any]) -> dict[str, Any]:
    """`mta reports send` at a live worker. Raises UsageError."""
    try:
        return await _answer(daily, request)
    except StorageError as error:
        raise UsageError(str(error)) from error


async def send_offline(configuration: Configuration, day: str) -> list[dict[str, Any]]:
    """The same where no relay runs: the mails wait in the queue until one does."""
    site = make_site(alone(configuration), EventLog(2, "text"))
    async with open_offline(configuration, [0]) as shards:
        if not shards:
            raise UsageError("there is no queue yet: start `mta serve` once")
        daily = daily_reports(site, shards[0], report_spool(configuration), "offline", lambda: None)
        return await daily.send(day)


def stored_reports(configuration: Configuration, shelf: str) -> list[dict[str, Any]]:
    """The documents of a shelf, `sent` or `received`, oldest day first."""
    spool = report_spool(configuration)
    with in_house(configuration):
        return [json.loads(spool.get(shelf, day, name)) for day, name in spool.names(shelf) if name.endswith(".json")]


def sent_report(configuration: Configuration, state: dict[str, Any]) -> bytes:
    """The report of ours that `state` is of, still packed."""
    with in_house(configuration):
        return report_spool(configuration).get("sent", state["day"], packed_name(state["name"]))


def import_reports(configuration: Configuration, data: bytes) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """Keep what a file or message of somebody else tells; the documents, and what could not be read."""
    from mta.pipeline.intake import Sender, keep
    from mta.policy.report_read import read_reports

    found = read_reports(data)
    sender = Sender(reason="imported by hand")
    with in_house(configuration):
        return keep(report_spool(configuration), found, sender, time.time()), found.problems
