"""A day's counts made into reports, and the mail that carries one: RFC 8460 §4 and §5, RFC 9990 §3."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mta.contract.reports import Reports
from mta.model.reporting import TlsReportFacts
from mta.rfc.dmarc import report as dmarc
from mta.rfc.dmarc.parse import DmarcRecord
from mta.rfc.dmarc.report import MAX_ROWS, AggregateReport, PublishedPolicy, ReportMetadata, ReportRow
from mta.rfc.mime.attach import Attachment, Letter, compose_letter
from mta.rfc.mime.date import format_date
from mta.rfc.tlsrpt import report as tlsrpt
from mta.rfc.tlsrpt.report import FailureDetail, PolicyReport, TlsReport

DMARC, TLS = "dmarc", "tls"
MAX_DETAILS = 10_000  # of one policy


@dataclass(frozen=True, slots=True)
class Subject:
    """What one report is about: a policy domain, from epoch second `begin` to `end`, both within it."""

    kind: str  # DMARC or TLS
    domain: str
    begin: int
    end: int
    part: bool = False  # the day had not ended

    @property
    def day(self) -> str:
        """The day in UTC, like 2026-11-25."""
        return iso_day(self.begin // 86_400)

    def id(self, submitter: str) -> str:
        """RFC 9990 §3.5.1: the same whenever this report is made, so that whoever gets it twice can tell."""
        until = f"-{self.end}" if self.part else ""
        return f"{self.day}{until}_{self.kind}_{self.domain}@{submitter}"


def iso_day(day: int) -> str:
    """`2026-11-25` for whole days since the epoch."""
    return datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")


def submitter_of(reports: Reports) -> str:
    """The domain that reports, and signs its reports."""
    return reports.from_.rpartition("@")[2].lower()


def dmarc_report(
    about: Subject, rows: Mapping[ReportRow, int], record: DmarcRecord, reports: Reports
) -> tuple[AggregateReport, bytes]:
    """The report and its XML; of more rows than a mail can carry the busiest."""
    chosen = dict(Counter(rows).most_common(MAX_ROWS))
    errors = (f"{len(rows) - len(chosen)} rows are left out",) if len(chosen) < len(rows) else ()
    metadata = ReportMetadata(
        organization=reports.organization,
        email=reports.from_,
        report_id=about.id(submitter_of(reports)),
        begin=about.begin,
        end=about.end,
        errors=errors,
    )
    report = AggregateReport(metadata, PublishedPolicy.of(about.domain, record), chosen)
    return report, dmarc.compose_report(report)


def tls_report(about: Subject, facts: Mapping[TlsReportFacts, int], reports: Reports) -> tuple[TlsReport, bytes]:
    """The report and its JSON: one entry for each policy that sessions were under."""
    policies: dict[tuple[str, tuple[str, ...], tuple[str, ...]], dict[TlsReportFacts, int]] = {}
    for fact, number in facts.items():
        policies.setdefault((fact.policy_type, fact.policy_strings, fact.mx_hosts), {})[fact] = number
    report = TlsReport(
        organization=reports.organization,
        contact=reports.from_,
        id=about.id(submitter_of(reports)),
        begin=about.begin,
        end=about.end,
        policies=tuple(_policy(about.domain, members) for members in policies.values()),
    )
    return report, tlsrpt.compose_report(report)


def _policy(domain: str, facts: Mapping[TlsReportFacts, int]) -> PolicyReport:
    first = next(iter(facts))
    failed = Counter({fact: number for fact, number in facts.items() if fact.failed})
    details = tuple(
        FailureDetail(
            result=fact.result_type,
            count=number,
            sending_ip=fact.sending_ip,
            receiving_mx=fact.receiving_mx,
            receiving_ip=fact.receiving_ip,
            reason=fact.failure_reason,
        )
        for fact, number in failed.most_common(MAX_DETAILS)
    )
    good = sum(number for fact, number in facts.items() if not fact.failed)
    return PolicyReport(first.policy_type, domain, first.policy_strings, first.mx_hosts, good, failed.total(), details)


def file_name(about: Subject, submitter: str) -> str:
    """What the attachment is called (RFC 8460 §5.1, RFC 9990 §3.5.2)."""
    extension = "xml" if about.kind == DMARC else "json"
    return f"{submitter}!{about.domain}!{about.begin}!{about.end}.{extension}.gz"


def media_type(kind: str) -> str:
    """Of the packed report: RFC 9990 §3.5.2, RFC 8460 §5.3."""
    return "application/gzip" if kind == DMARC else "application/tlsrpt+gzip"


def letter(about: Subject, packed: bytes, to: str, reports: Reports, now: float) -> bytes:
    """The mail that carries a packed report to one address."""
    submitter = submitter_of(reports)
    fields = [
        ("From", f"<{reports.from_}>"),
        ("To", f"<{to}>"),
        ("Subject", _subject(about, submitter)),
        ("Date", format_date(now)),
        ("Message-ID", f"<{about.id(submitter)}>"),  # RFC 9990 §3.5.2
        ("Auto-Submitted", "auto-generated"),  # RFC 3834 §5
    ]
    attachment = Attachment(media_type(about.kind), file_name(about, submitter), packed)
    if about.kind == DMARC:
        text = f"This is a DMARC aggregate report from {submitter} about {about.domain} for {about.day} (UTC)."
        return compose_letter(Letter(tuple(fields), text, attachment))
    # RFC 8460 §5.3; RFC 8689 §4: whoever reports on broken TLS must get through in spite of it
    fields += [("TLS-Report-Domain", about.domain), ("TLS-Report-Submitter", submitter), ("TLS-Required", "No")]
    text = f"This is an aggregate TLS report from {submitter} about {about.domain} for {about.day} (UTC)."
    return compose_letter(Letter(tuple(fields), text, attachment, 'report; report-type="tlsrpt"'))


def _subject(about: Subject, submitter: str) -> str:
    return f"Report Domain: {about.domain} Submitter: {submitter} Report-ID: <{about.id(submitter)}>"
