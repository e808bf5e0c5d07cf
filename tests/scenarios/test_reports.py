"""A day's reports: what was seen of a domain is told to those who ask for it, signed, by mail and by HTTPS."""

from __future__ import annotations

import gzip
import json
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path
from typing import Any

import dkim
import pytest

from mta.adapters.report_spool import FileReportSpool
from mta.model.reporting import TlsReportFacts
from mta.pipeline.counts import day_of, written
from mta.policy.report_day import iso_day
from mta.policy.report_read import read_reports
from mta.rfc.dmarc.report import AggregateReport
from mta.rfc.tlsrpt.report import TlsReport
from tests.support.client import send
from tests.support.dns_server import DnsServer, dns_server
from tests.support.https_server import HttpsServer, https_server
from tests.support.pki import authority
from tests.support.running_mta import RunningMta, mta, running_mta, until
from tests.support.smtp_peer import PeerMessage, PeerTls, Script, SmtpPeer, smtp_peer

INBOUND = b"From: bob@fabrikam.example\r\nTo: alice@contoso.example\r\nSubject: hello\r\n\r\nGood morning.\r\n"
OUTBOUND = b"From: alice@contoso.example\r\nTo: bob@fabrikam.example\r\nSubject: hello\r\n\r\nGood morning.\r\n"


def quoted(text: str) -> str:
    """A TXT record as zone files write it."""
    return " ".join(f'"{text[start : start + 255]}"' for start in range(0, len(text), 255))


@dataclass
class World:
    """Contoso's relay, Fabrikam's mail host and collector, and the names of both."""

    relay: RunningMta
    fabrikam: SmtpPeer
    collector: HttpsServer
    names: DnsServer
    records: dict[bytes, str]  # by the name of the key

    def reports(self, number: int) -> list[PeerMessage]:
        """The reports that have arrived as mail at Fabrikam, once there are so many."""
        found = lambda: [m for m in self.fabrikam.messages if b"Report Domain:" in m.data]  # noqa: E731
        until(lambda: len(found()) >= number, describe=lambda: f"{number} reports; the log says:\n{self.relay.story()}")
        return found()

    def verified(self, message: PeerMessage, *, tlsrpt: bool) -> bool:
        """Whether another implementation finds the signature good; a key for TLS reports only where those are meant."""
        return bool(
            dkim.verify(
                message.data,
                dnsfunc=lambda name, timeout=5: self.records[name.rstrip(b".")].encode(),
                tlsrpt="strict" if tlsrpt else False,
            )
        )


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Contoso's keys, for mail and for TLS reports, with what is told of each when it is made."""
    folder = tmp_path_factory.mktemp("keys")
    made = {}
    for name, service in (("s1", "email"), ("t1", "tlsrpt")):
        told = mta("keys", "dkim", "new", "contoso.example", name, "--service", service, "--json", cwd=folder)
        made[name] = json.loads(told.stdout)
    return made


@contextmanager
def world(
    folder: Path, monkeypatch: pytest.MonkeyPatch, keys: dict[str, dict[str, Any]], more: str = ""
) -> Iterator[World]:
    """All of them running. `more` are further keys of `server.reports`."""
    records = {key["name"].encode(): key["record"] for key in keys.values()}
    ca = authority()
    chain, key = ca.issue(dns_names=["mx.fabrikam.example"]).write(folder, "fabrikam")
    ca.write(folder / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca.pem"))
    with (
        https_server(ca, "collector.fabrikam.example") as collector,
        smtp_peer(Script(tls=PeerTls(str(chain), str(key)))) as fabrikam,
        smtp_peer() as inside,
    ):
        tls_to = f"mailto:tls@fabrikam.example,https://collector.fabrikam.example:{collector.port}/tls"
        zone: dict[tuple[str, str], Any] = {
            ("fabrikam.example", "MX"): ["10 mx.fabrikam.example."],
            ("mx.fabrikam.example", "A"): ["127.0.0.1"],
            ("collector.fabrikam.example", "A"): ["127.0.0.1"],
            ("_dmarc.fabrikam.example", "TXT"): [quoted("v=DMARC1; p=none; rua=mailto:dmarc@fabrikam.example")],
            ("_smtp._tls.fabrikam.example", "TXT"): [quoted(f"v=TLSRPTv1; rua={tls_to}")],
            **{(name.decode(), "TXT"): [quoted(record)] for name, record in records.items()},
        }
        with dns_server(zone) as names:
            text = f"""
            server: {{hostname: mx.contoso.example, listen: [{{address: "127.0.0.1:{{port}}"}}], workers: 2,
                      log: {{format: json}}, dns: {{nameservers: ["127.0.0.1:{names.port}"]}},
                      reports: {{from: reports@contoso.example, private_collectors: true,
                                receive: [in@contoso.example]{more}}}}}
            domains:
              contoso.example:
                deliver_to: ["127.0.0.1:{inside.port}"]
                connector: inside
                dkim:
                  - {{selector: s1, key: {keys["s1"]["key"]}}}
                  - {{selector: t1, key: {keys["t1"]["key"]}, service: tlsrpt}}
            connectors:
              inside: {{relay: true, inbound: {{networks: ["127.0.0.2/32"]}}, outbound: {{tls: {{level: none}}}}}}
              own: {{relay: true, inbound: {{networks: ["127.0.0.1/32"], authentication: {{dmarc: report}}}}}}
              default: {{inbound: {{authentication: {{dmarc: report}}}}, outbound: {{port: {fabrikam.port}}}}}
            """
            with running_mta(folder, text) as relay:
                yield World(relay, fabrikam, collector, names, records)


def test_a_days_traffic_is_reported_to_whom_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: dict[str, dict[str, Any]]
) -> None:
    """One message in, one out; then the day is ended by hand, and what was sent comes back as another's report."""
    with world(tmp_path, monkeypatch, keys) as ours:
        relay = ours.relay
        assert send(relay.port, "bob@fabrikam.example", ["alice@contoso.example"], INBOUND).accepted
        assert send(relay.port, "alice@contoso.example", ["bob@fabrikam.example"], OUTBOUND).accepted
        ours.fabrikam.wait_for(1)
        relay.wait_for("delivery.delivered", to=["bob@fabrikam.example"])

        states = relay.ask("reports", "send", "--day", "today")["reports"]
        assert {one["kind"]: [place["state"] for place in one["destinations"]] for one in states} == {
            "dmarc": ["queued"],
            "tls": ["queued", "sent"],
        }, relay.story()

        arrived = {message.recipients[0]: message for message in ours.reports(2)}
        assert all(message.sender == "reports@contoso.example" for message in arrived.values())
        assert ours.verified(arrived["dmarc@fabrikam.example"], tlsrpt=False)
        assert ours.verified(arrived["tls@fabrikam.example"], tlsrpt=True)
        [dmarc] = read_reports(arrived["dmarc@fabrikam.example"].data).reports
        assert isinstance(dmarc, AggregateReport)
        assert dmarc.policy.domain == "fabrikam.example"
        [(row, count)] = dmarc.rows.items()
        assert (row.source, row.header_from, row.disposition, count) == ("127.0.0.1", "fabrikam.example", "none", 1)

        mail = arrived["tls@fabrikam.example"]
        parsed = message_from_bytes(mail.data)
        assert parsed.get_content_type() == "multipart/report"
        assert parsed.get_param("report-type") == "tlsrpt"
        assert (parsed["TLS-Report-Domain"], parsed["TLS-Required"]) == ("fabrikam.example", "No")
        signed_names = parsed["DKIM-Signature"].lower()
        assert "tls-report-domain" in signed_names
        assert "tls-report-submitter" in signed_names
        [tls] = read_reports(mail.data).reports
        assert isinstance(tls, TlsReport)
        [policy] = tls.policies
        assert (policy.type, policy.successes, policy.failures) == ("no-policy-found", 1, 0)

        [posted] = ours.collector.wait_for(1)
        assert posted.headers["content-type"] == "application/tlsrpt+gzip"
        assert json.loads(gzip.decompress(posted.body))["report-id"] == tls.id

        # RFC 8460 §3: the sessions that carried reports are not reported on
        again = relay.ask("reports", "send", "--day", "today")["reports"]
        assert [one["sums"] for one in again if one["kind"] == "tls"] == [{"successes": 1, "failures": 0}]

        assert send(relay.port, mail.sender, ["in@contoso.example"], mail.data).accepted
        assert relay.wait_for("report.received")["trusted"] is True
        [received] = relay.ask("reports", "list")["received"]
        assert (received["kind"], received["organization"]) == ("tls", "contoso.example")
        shown = relay.command("reports", "show", "fabrikam.example", check=True).stdout
        assert "no-policy-found fabrikam.example: 1 good, 0 failed" in shown


def test_trouble_with_the_spool_is_no_trouble_for_mail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: dict[str, dict[str, Any]]
) -> None:
    """Counts wait until they can be written, at the latest when the relay stops; then a command can send them."""
    blocked = tmp_path / "var" / "queue" / "reports"
    blocked.parent.mkdir(parents=True)
    blocked.write_text("no folder")
    with world(tmp_path, monkeypatch, keys) as ours:
        relay = ours.relay
        assert send(relay.port, "bob@fabrikam.example", ["alice@contoso.example"], INBOUND).accepted
        assert send(relay.port, "alice@contoso.example", ["bob@fabrikam.example"], OUTBOUND).accepted
        relay.wait_for("delivery.delivered", to=["bob@fabrikam.example"])
        failed = relay.command("reports", "send", "--day", "today")
        assert (failed.returncode, "reports" in failed.stderr) == (2, True), failed
        assert not relay.seen("defect")

        blocked.unlink()
        relay.stop()
        [dmarc, tls] = relay.ask("reports", "send", "--day", "today")["reports"]
        assert (dmarc["sums"], tls["sums"]["successes"]) == ({"messages": 1, "passed": 0, "failed": 1}, 1)
        waiting = relay.ask("queue", "list")["messages"]
        assert {mail["inbound"] for mail in waiting} == {"report"}
        assert len(waiting) == 2


def test_when_a_day_has_ended_its_reports_leave_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: dict[str, dict[str, Any]]
) -> None:
    """Two workers wrote down their counts yesterday; today's first one makes one report of both, once."""
    yesterday = day_of(time.time() - 86_400 - 900)  # at ten past midnight at the earliest
    spool = FileReportSpool(tmp_path / "var" / "queue" / "reports")
    for writer, result in (("worker-00", ""), ("worker-01", "validation-failure")):
        facts = TlsReportFacts("no-policy-found", "fabrikam.example", result_type=result)
        lines = written(Counter({(yesterday, facts): 2}), yesterday, time.time())
        spool.add_counts(iso_day(yesterday), writer, lines)
    with world(tmp_path, monkeypatch, keys, ", send: true") as ours:
        [posted] = ours.collector.wait_for(1)
        [policy] = json.loads(gzip.decompress(posted.body))["policies"]
        assert policy["summary"] == {"total-successful-session-count": 2, "total-failure-session-count": 2}
        ours.relay.wait_for("report.queued", kind="tls", to="mailto:tls@fabrikam.example")
        [state] = until(lambda: _settled(ours.relay.ask("reports", "list")["ours"]))
        assert (state["day"], state["part"]) == (iso_day(yesterday), False)
        assert spool.days() == ()


def _settled(states: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in states if {place["state"] for place in one["destinations"]} == {"queued", "sent"}]
