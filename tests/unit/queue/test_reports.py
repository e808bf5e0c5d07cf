"""The days of a reporter: counts written down, reports made when a day has ended, each on its way once."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from mta.adapters.report_spool import FileReportSpool
from mta.contract.connectors import Connector
from mta.contract.dkim import DkimKey
from mta.contract.domains import Domain
from mta.contract.index import ConnectorIndex
from mta.contract.reports import Reports
from mta.contract.values import HostPort
from mta.errors import StorageError, StorageFull, UsageError
from mta.model.message import QueuedMessage
from mta.model.reporting import NO_POLICY_FOUND, TlsReportFacts
from mta.observe.log import EventLog
from mta.pipeline.counts import DAY, DmarcFacts
from mta.pipeline.site import Contract, MessageIds, Shard, Site
from mta.policy.report_day import Subject
from mta.policy.report_read import read_reports
from mta.ports import Posted
from mta.queue.report_delivery import Delivery, is_due
from mta.queue.reports import DailyReports
from mta.rfc.dmarc.report import AggregateReport, ReportRow
from mta.rfc.tlsrpt.report import TlsReport
from tests.support.fake_resolver import TEMPORARY, FakeResolver
from tests.unit.policy.world import SERVER, VERIFIER, configuration

MIDNIGHT = 20_000 * DAY  # the beginning of 2024-10-04
DATE = "2024-10-04"
FROM = "reports@contoso.example"
RECORD = "v=DMARC1; p=none; rua=mailto:dmarc@b.example"
ROW = ReportRow("192.0.2.1", "none", False, False, "b.example")
SESSION = TlsReportFacts(NO_POLICY_FOUND, "b.example", receiving_mx="mx.b.example")
WEB = "https://collector.example/tls"


@dataclass
class FakeStore:
    """Takes mail, or raises `trouble`."""

    taken: list[QueuedMessage] = field(default_factory=list)
    trouble: Exception | None = None

    async def enqueue(self, message: QueuedMessage, *, claim: bool = False) -> None:
        if self.trouble:
            raise self.trouble
        self.taken.append(message)


@dataclass
class FakePoster:
    """Answers each POST with `answer`."""

    answer: Posted = field(default_factory=lambda: Posted(True, "201 Created"))
    urls: list[str] = field(default_factory=list)

    async def post(self, url: str, media_type: str, data: bytes, *, private: bool) -> Posted:
        self.urls.append(url)
        return self.answer


class FullSpool(FileReportSpool):
    """A spool on a disk that may be full."""

    full = False

    def add_counts(self, day: str, writer: str, lines: bytes) -> None:
        if self.full:
            raise StorageFull("the disk is full")
        super().add_counts(day, writer, lines)

    def put(self, shelf: str, day: str, name: str, data: bytes) -> None:
        if self.full:
            raise StorageFull("the disk is full")
        super().put(shelf, day, name, data)


class World:
    """A reporter, its spool and everything around it made by hand. The time is `now`."""

    def __init__(self, folder: Path, *, signed: bool = True, **reports: Any) -> None:
        self.now = float(MIDNIGHT + 3600)
        keys = (DkimKey("s1", "s1.key"),) if signed else ()
        ours = Domain("contoso.example", (HostPort("mail.contoso.example", 25),), "default", dkim=keys)
        wanted = Reports(
            **{"from_": FROM, "organization": "Contoso", "dmarc": True, "tls": True, "send": True, **reports}
        )
        known = configuration(Connector("reporting"), server=replace(SERVER, reports=wanted), domains=(ours,))
        self.names = FakeResolver(
            {
                ("_dmarc.b.example", "TXT"): [RECORD],
                ("_smtp._tls.b.example", "TXT"): ["v=TLSRPTv1;rua=mailto:tls@b.example"],
            }
        )
        self._read, write = os.pipe()
        clock: Any = SimpleNamespace(now=lambda: self.now, monotonic=lambda: self.now)
        self.site = Site(
            Contract(known, ConnectorIndex(known), 1),
            clock,
            VERIFIER,
            self.names,
            SimpleNamespace(),  # type: ignore[arg-type]  # nothing is dialled
            EventLog(write, "json"),
            Random(1),
            MessageIds(clock),
            SimpleNamespace(),  # type: ignore[arg-type]  # nothing is signed
        )
        self.store, self.poster, self.spool = FakeStore(), FakePoster(), FullSpool(folder)
        self.woken = 0
        delivery = Delivery(self.site, Shard(0, self.store), self.poster, self.wake)  # type: ignore[arg-type]
        self.daily = DailyReports(self.site, self.spool, delivery, "worker-00")

    def wake(self) -> None:
        self.woken += 1

    def traffic(self) -> None:
        """One message in, two sessions out."""
        self.site.reports.dmarc(DmarcFacts("b.example", RECORD, ROW), self.now)
        self.site.reports.tls(SESSION, self.now)
        self.site.reports.tls(SESSION, self.now)

    async def day_ends(self) -> None:
        """The counts are written, and half an hour after midnight the reporter looks after them."""
        await self.daily.write_counts()
        self.now = MIDNIGHT + DAY + 1800.0
        await self.daily.look_after()

    def states(self) -> list[dict[str, Any]]:
        """What the spool says of our reports."""
        names = [(day, name) for day, name in self.spool.names("sent") if name.endswith(".json")]
        return [json.loads(self.spool.get("sent", day, name)) for day, name in names]

    def places(self) -> list[str]:
        """The states of all destinations."""
        return [place["state"] for one in self.states() for place in one["destinations"]]


async def test_a_day_that_has_ended_is_reported_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.traffic()
    await world.day_ends()
    mails = {str(mail.envelope.recipients[0].mailbox): mail for mail in world.store.taken}
    assert sorted(mails) == ["dmarc@b.example", "tls@b.example"]
    [dmarc] = read_reports(mails["dmarc@b.example"].content.data or b"").reports
    [tls] = read_reports(mails["tls@b.example"].content.data or b"").reports
    assert isinstance(dmarc, AggregateReport)
    assert isinstance(tls, TlsReport)
    assert (dmarc.metadata.begin, dmarc.metadata.end) == (MIDNIGHT, MIDNIGHT + DAY - 1) == (tls.begin, tls.end)
    assert dict(dmarc.rows) == {ROW: 1}
    assert (tls.policies[0].successes, tls.policies[0].mx_hosts) == (2, ())
    assert world.spool.days() == ()
    assert world.woken == 2
    await world.daily.look_after()
    assert len(world.store.taken) == 2


async def test_reports_leave_as_ordinary_mail_that_nobody_bounces_and_that_is_not_reported_on(tmp_path: Path) -> None:
    world = World(tmp_path, connector="reporting")
    world.traffic()
    await world.day_ends()
    for mail in world.store.taken:
        assert (mail.inbound, mail.envelope.sender_text) == ("report", FROM)
        assert mail.envelope.recipients[0].notify == ("NEVER",)
        assert mail.states[0].connector == "reporting"
        assert world.now <= mail.states[0].due <= world.now + 3600  # not all reporters at midnight
        head = (mail.content.data or b"").partition(b"\r\n\r\n")[0]
        assert b"Subject: Report Domain: b.example Submitter: contoso.example" in head
    assert {place["message"] for one in world.states() for place in one["destinations"]} == {
        mail.id for mail in world.store.taken
    }


async def test_nothing_is_made_before_every_worker_has_written_down_the_day(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.traffic()
    await world.daily.write_counts()
    world.now = MIDNIGHT + DAY + 60.0
    await world.daily.look_after()
    assert world.states() == []


async def test_who_asks_for_nothing_gets_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.names.zone.clear()
    world.site.reports.tls(SESSION, world.now)
    world.site.reports.dmarc(DmarcFacts("b.example", "v=DMARC1; p=none; rua=mailto:x@victim.example", ROW), world.now)
    await world.day_ends()
    assert (world.states(), world.store.taken, world.spool.days()) == ([], [], ())


async def test_what_cannot_be_looked_up_now_waits_for_a_day(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.names.set("_smtp._tls.b.example", "TXT", TEMPORARY)
    world.traffic()
    await world.day_ends()
    assert [one["kind"] for one in world.states()] == ["dmarc"]
    assert world.spool.days() == (DATE,)
    world.names.set("_smtp._tls.b.example", "TXT", ["v=TLSRPTv1;rua=mailto:tls@b.example"])
    await world.daily.look_after()
    assert [one["kind"] for one in world.states()] == ["dmarc", "tls"]
    assert world.spool.days() == ()
    assert len(world.store.taken) == 2


async def test_what_cannot_be_looked_up_for_a_day_is_let_go(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.names.set("_smtp._tls.b.example", "TXT", TEMPORARY)
    world.site.reports.tls(SESSION, world.now)
    await world.day_ends()
    world.now += DAY
    await world.daily.look_after()
    assert world.spool.days() == ()


async def test_without_send_reports_are_kept_until_somebody_sends_them(tmp_path: Path) -> None:
    world = World(tmp_path, send=False)
    world.traffic()
    await world.day_ends()
    assert (world.places(), world.store.taken) == (["kept", "kept"], [])
    answer = await world.daily.send(DATE)
    assert [place["state"] for one in answer for place in one["destinations"]] == ["queued", "queued"]
    assert [mail.states[0].due for mail in world.store.taken] == [world.now, world.now]  # by hand: at once
    await world.daily.send(DATE)
    assert len(world.store.taken) == 2


async def test_a_part_of_a_day_can_be_sent_and_the_whole_day_follows(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.traffic()
    [dmarc, tls] = await world.daily.send(DATE)
    assert (dmarc["part"], tls["part"]) == (True, True)
    assert tls["end"] == int(world.now)
    world.traffic()
    await world.day_ends()
    whole = [one for one in world.states() if not one["part"]]
    assert [(one["kind"], next(iter(one["sums"].values()))) for one in whole] == [("dmarc", 2), ("tls", 4)]
    assert len({one["id"] for one in world.states()}) == 4
    assert len(world.store.taken) == 4


@pytest.mark.parametrize("day", ["2024-10-05", "2030-01-01", "never", "2024-13-01", ""])
async def test_a_day_that_cannot_be_reported_on(tmp_path: Path, day: str) -> None:
    with pytest.raises(UsageError):
        await World(tmp_path).daily.send(day)


async def test_reports_that_nobody_would_believe_are_not_sent(tmp_path: Path) -> None:
    world = World(tmp_path, signed=False)
    world.traffic()
    with pytest.raises(UsageError, match="dkim"):
        await world.daily.send(DATE)


async def test_a_collector_that_does_not_answer_is_tried_for_a_day(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.names.set("_smtp._tls.b.example", "TXT", [f"v=TLSRPTv1;rua={WEB}"])
    world.poster.answer = Posted(False, "503 Busy")
    world.site.reports.tls(SESSION, world.now)
    await world.day_ends()
    await world.daily.look_after()  # not due yet
    assert (world.places(), world.poster.urls) == (["waiting"], [WEB])
    world.now += 3600
    world.poster.answer = Posted(True, "201 Created")
    await world.daily.look_after()
    assert world.places() == ["sent"]


async def test_a_collector_that_never_answers_is_given_up(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.names.set("_smtp._tls.b.example", "TXT", [f"v=TLSRPTv1;rua={WEB}"])
    world.poster.answer = Posted(False, "503 Busy")
    world.site.reports.tls(SESSION, world.now)
    await world.day_ends()
    for _ in range(30):
        world.now += 3600
        await world.daily.look_after()
    assert world.places() == ["failed"]
    assert 20 < len(world.poster.urls) < 30
    assert "503 Busy" in str(world.states()[0]["destinations"])


@pytest.mark.parametrize("jump", [-365 * 86_400, 365 * 86_400])
async def test_a_clock_that_jumps_a_year_gives_up_no_report_and_delays_none(tmp_path: Path, jump: int) -> None:
    world = World(tmp_path)
    world.names.set("_smtp._tls.b.example", "TXT", [f"v=TLSRPTv1;rua={WEB}"])
    world.poster.answer = Posted(False, "503 Busy")
    world.site.reports.tls(SESSION, world.now)
    await world.day_ends()
    [state] = world.states()
    about = Subject(state["kind"], state["domain"], state["begin"], state["end"])
    again = world.daily._delivery._again(about, state["destinations"][0], "503 Busy")
    world.now += jump
    jumped = world.daily._delivery._again(about, again, "503 Busy")
    assert jumped["state"] == "waiting"
    world.now -= jump
    assert is_due(jumped, world.now)
    assert not is_due(again, world.now)


async def test_a_queue_in_trouble_is_tried_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.store.trouble = StorageError("the disk is full")
    world.site.reports.tls(SESSION, world.now)
    await world.day_ends()
    assert world.places() == ["waiting"]
    world.store.trouble = None
    world.now += 3600
    await world.daily.look_after()
    assert world.places() == ["queued"]


async def test_destinations_that_cannot_be_used_fail_with_a_reason(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.names.set("_smtp._tls.b.example", "TXT", ["v=TLSRPTv1;rua=mailto:nobody,mailto:a@[192.0.2.1]"])
    world.site.reports.tls(SESSION, world.now)
    await world.day_ends()
    assert world.places() == ["failed", "failed"]


async def test_a_full_disk_costs_no_counts(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.traffic()
    world.spool.full = True
    with pytest.raises(StorageFull):
        await world.daily.write_counts()
    world.spool.full = False
    world.traffic()
    await world.day_ends()
    assert [next(iter(one["sums"].values())) for one in world.states()] == [2, 4]


async def test_what_cannot_be_written_down_as_sent_is_not_sent(tmp_path: Path) -> None:
    """Else it would be sent again and again."""
    world = World(tmp_path, send=False)
    world.traffic()
    await world.day_ends()
    world.spool.full = True
    with pytest.raises(StorageFull):
        await world.daily.send(DATE)
    assert world.store.taken == []


async def test_old_reports_are_forgotten(tmp_path: Path) -> None:
    world = World(tmp_path, keep=7.0 * DAY)
    world.traffic()
    await world.day_ends()
    world.now += 6 * DAY
    await world.daily.look_after()
    assert len(world.states()) == 2
    world.now += 3 * DAY
    await world.daily.look_after()
    assert world.states() == []
