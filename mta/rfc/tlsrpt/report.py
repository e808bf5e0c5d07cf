"""Writes TLS reports as JSON: RFC 8460 §4.4. `report_parse` reads those of others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime

MAX_TEXT = 1000  # characters of one string that is not ours


@dataclass(frozen=True, slots=True)
class FailureDetail:
    """Sessions that failed in one way: `result` is a result type (RFC 8460 §4.3), `reason` a failure-reason-code."""

    result: str
    count: int
    sending_ip: str = ""
    receiving_mx: str = ""
    receiving_helo: str = ""
    receiving_ip: str = ""
    information: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """Sessions under one policy: `type` is `tlsa`, `sts` or `no-policy-found`, `domain` that of the recipients."""

    type: str
    domain: str
    strings: tuple[str, ...] = ()
    mx_hosts: tuple[str, ...] = ()
    successes: int = 0
    failures: int = 0
    details: tuple[FailureDetail, ...] = ()


@dataclass(frozen=True, slots=True)
class TlsReport:
    """A whole report. `begin` and `end` are epoch seconds, both within the time that is reported on."""

    organization: str
    contact: str
    id: str
    begin: int
    end: int
    policies: tuple[PolicyReport, ...]


def compose_report(report: TlsReport) -> bytes:
    """The JSON document (RFC 8460 §4.4)."""
    document = {
        "organization-name": report.organization,
        "date-range": {"start-datetime": _date(report.begin), "end-datetime": _date(report.end)},
        "contact-info": report.contact,
        "report-id": report.id,
        "policies": [_policy(policy) for policy in report.policies],
    }
    return json.dumps(document, ensure_ascii=True, indent=1).encode()


def _policy(policy: PolicyReport) -> dict[str, object]:
    described: dict[str, object] = {"policy-type": policy.type}
    if policy.strings:
        described["policy-string"] = [_text(text) for text in policy.strings]
    described["policy-domain"] = policy.domain
    if policy.mx_hosts:
        described["mx-host"] = list(policy.mx_hosts)
    document: dict[str, object] = {
        "policy": described,
        "summary": {
            "total-successful-session-count": policy.successes,
            "total-failure-session-count": policy.failures,
        },
    }
    if policy.details:
        document["failure-details"] = [_detail(detail) for detail in policy.details]
    return document


def _detail(detail: FailureDetail) -> dict[str, object]:
    document: dict[str, object] = {"result-type": detail.result}
    for name, text in (
        ("sending-mta-ip", detail.sending_ip),
        ("receiving-mx-hostname", detail.receiving_mx),
        ("receiving-mx-helo", detail.receiving_helo),
        ("receiving-ip", detail.receiving_ip),
        ("additional-information", detail.information),
        ("failure-reason-code", detail.reason),
    ):
        if text:
            document[name] = _text(text)
    return {**document, "failed-session-count": detail.count}


def _text(text: str) -> str:
    return text[:MAX_TEXT].encode("utf-8", "replace").decode()


def _date(epoch: int) -> str:
    # RFC 8460 §4.4: Internet date format of RFC 3339
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
