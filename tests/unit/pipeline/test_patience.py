"""Judging one message ends, however slowly its names are served."""

from __future__ import annotations

import pytest

from mta.contract.connectors import Connector
from mta.model.address import Mailbox
from mta.model.auth import AuthResult
from mta.model.message import Content
from mta.pipeline.authenticate import Incoming, LookUps, authenticate
from mta.pipeline.patience import PATIENCE, Patience
from mta.ports import DnsStatus
from mta.rfc.mime.from_ import parse_from
from mta.rfc.mime.header import scan_header
from tests.support.fake_resolver import FakeResolver


@pytest.mark.parametrize("kind", ["txt", "a", "aaaa", "mx"])
async def test_answers_are_passed_on_until_the_time_is_over(kind: str) -> None:
    names = FakeResolver({("x.example", kind.upper()): ["10 x.example" if kind == "mx" else "192.0.2.1"]}, delay=0.6)
    patient = Patience(names, names, 1.0)
    answers = [await getattr(patient, kind)("x.example") for _ in range(3)]
    assert [answer.status for answer in answers] == [DnsStatus.OK, DnsStatus.OK, DnsStatus.TEMPORARY]
    assert "took more than 1 seconds" in answers[-1].detail
    assert names.asked == 2


async def test_names_of_an_address_end_too() -> None:
    names = FakeResolver({}, delay=2.0)
    patient = Patience(names, names, 1.0)
    assert (await patient.ptr("192.0.2.1")).status is DnsStatus.NXDOMAIN
    assert (await patient.ptr("192.0.2.1")).status is DnsStatus.TEMPORARY


async def test_a_sender_with_slow_names_is_unknown_after_a_minute() -> None:
    """Nine seconds an answer, and nothing but answers: the tree walks alone would take ten minutes."""
    author = ".".join("abcdefgh") + ".example"
    raw = b"From: a@" + author.encode() + b"\r\n\r\nx\r\n"
    names = FakeResolver({(f"_dmarc.{author}", "TXT"): [b"v=DMARC1; p=none"]}, delay=9.0)
    block = scan_header(raw, 1000)
    sender = Mailbox("a", "z.example", "z.example")
    incoming = Incoming(None, "h.example", sender, Content(len(raw), raw), block, parse_from(block, 100))
    [facts] = await authenticate(LookUps(names, names, "mx.contoso.example"), (Connector("default"),), incoming)
    assert names.clock <= PATIENCE + 9.0
    assert facts.dmarc is not None
    assert facts.dmarc.result is not AuthResult.PASS
