"""Reports of others, as they arrive: believed by their signature, kept once, refused with a reason."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mta.adapters.report_spool import FileReportSpool
from mta.pipeline.intake import MAX_WAITING, Intake
from mta.rfc.dkim.body import body_hashes
from mta.rfc.mime.attach import Attachment, Letter, compose_letter
from tests.support.fake_resolver import FakeResolver
from tests.support.signatures import DOMAIN, NOW, ed25519_key, ed25519_signer, record, signed
from tests.unit.rfc.tlsrpt.test_report import REPORT, compose_report

E = f"e._domainkey.{DOMAIN}"
PACKED = gzip.compress(compose_report(REPORT))


def report(data: bytes = PACKED, from_: str = f"reports@{DOMAIN}") -> bytes:
    fields = (("From", f"<{from_}>"), ("Subject", "Report Domain: b.example"), ("TLS-Report-Domain", "b.example"))
    file = Attachment("application/tlsrpt+gzip", "r.json.gz", data)
    return compose_letter(Letter(fields, "A report.", file, 'report; report-type="tlsrpt"'))


class World:
    """An intake with its spool, its names and its log."""

    def __init__(self, folder: Path, key_record: bytes = b"") -> None:
        self.log: list[tuple[str, dict[str, Any]]] = []
        say = lambda event, **fields: self.log.append((event, fields))  # noqa: E731
        defect = lambda what, error: self.log.append(("defect", {"error": repr(error)}))  # noqa: E731
        self.site: Any = SimpleNamespace(
            resolver=FakeResolver({(E, "TXT"): [key_record or record(ed25519_key())]}),
            clock=SimpleNamespace(now=lambda: NOW),
            log=SimpleNamespace(info=say, warning=say, defect=defect),
        )
        self.spool = FileReportSpool(folder)
        self.intake = Intake(self.site, self.spool)

    async def take(self, *messages: bytes) -> None:
        for message in messages:
            self.intake.offer(message)
        while self.intake.busy:
            await asyncio.sleep(0.001)

    def kept(self) -> list[dict[str, Any]]:
        return [json.loads(self.spool.get("received", *place)) for place in self.spool.names("received")]


async def test_a_signed_report_is_believed_and_kept_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    raw = signed(report(), ed25519_signer())
    await world.take(raw, raw)
    [kept] = world.kept()
    assert (kept["kind"], kept["domain"], kept["trusted"], kept["from"]) == (
        "tls",
        "b.example",
        True,
        f"reports@{DOMAIN}",
    )
    assert kept["sums"] == {"successes": 6, "failures": 2}
    assert kept["report"]["policies"][0]["details"][0]["result"] == "certificate-expired"
    assert [event for event, _ in world.log] == ["report.received"] * 2


async def test_a_key_for_tls_reports_signs_them_and_nothing_else(tmp_path: Path) -> None:
    world = World(tmp_path, record(ed25519_key()) + b"; s=tlsrpt")
    await world.take(signed(report(), ed25519_signer()))
    assert [one["trusted"] for one in world.kept()] == [True]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (report(), "not signed"),
        (signed(report(), ed25519_signer()).replace(b"A report.", b"A reqort."), "body was altered"),
        (signed(report(from_="reports@other.example"), ed25519_signer()), "no signature of its author's domain"),
        (report().replace(b"From: <", b"From: <x@y.example>, <"), "several"),
    ],
    ids=["unsigned", "altered", "a stranger's signature", "two authors"],
)
async def test_a_report_that_is_not_proven_is_kept_as_such(tmp_path: Path, raw: bytes, reason: str) -> None:
    world = World(tmp_path)
    await world.take(raw)
    [kept] = world.kept()
    assert kept["trusted"] is False
    assert reason in kept["reason"]


async def test_a_forgery_does_not_replace_the_true_report(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.take(signed(report(), ed25519_signer()), report())
    assert sorted(one["trusted"] for one in world.kept()) == [False, True]


@pytest.mark.parametrize(
    "raw",
    [
        report(gzip.compress(b" " * 50_000_000)),
        report(gzip.compress(PACKED)),
        report(b"nonsense"),
        b"Subject: lunch?\r\n\r\nNo report at all.\r\n",
        b"",
    ],
    ids=["bomb", "nested", "nonsense", "mail", "nothing"],
)
async def test_what_is_no_report_is_told_and_nothing_is_kept(tmp_path: Path, raw: bytes) -> None:
    world = World(tmp_path)
    await world.take(raw)
    assert world.kept() == []
    assert [event for event, _ in world.log] == ["report.unread"]


async def test_no_more_octets_wait_than_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = report(b"nonsense")
    monkeypatch.setattr("mta.pipeline.intake.MAX_OCTETS", 3 * len(raw))
    world = World(tmp_path)
    for _ in range(2):  # what was read makes room
        await world.take(*[raw] * 5)
    assert sum("too many" in fields.get("reason", "") for _, fields in world.log) == 4


@pytest.mark.parametrize(("size", "threads"), [(100, 0), (300_000, 1)])
async def test_a_large_report_is_hashed_off_the_loop(
    size: int, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def watched(*arguments: Any) -> Any:
        seen.append(threading.get_ident())
        return body_hashes(*arguments)

    monkeypatch.setattr("mta.pipeline.intake.body_hashes", watched)
    world = World(tmp_path)
    await world.take(signed(report(os.urandom(size)), ed25519_signer()))
    assert len(seen) == threads
    assert threading.get_ident() not in seen


async def test_a_flood_is_not_read_to_its_end(tmp_path: Path) -> None:
    world = World(tmp_path)
    await world.take(*[report(b"nonsense")] * (MAX_WAITING + 5))
    assert sum("too many" in fields.get("reason", "") for _, fields in world.log) == 5
