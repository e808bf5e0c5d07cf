"""Reads TLS reports that others send, within bounds: RFC 8460 §4.4."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

from mta.errors import MtaError
from mta.rfc.tlsrpt.report import FailureDetail, PolicyReport, TlsReport

MAX_JSON = 10 * 1024 * 1024  # octets, unpacked
MAX_POLICIES = 1000
MAX_DETAILS = 100_000  # of all policies
MAX_COUNT = 10**15
MAX_STRING = 4096  # characters
MAX_STRINGS = 1000  # in one list
MAX_VALUES = 1_500_000  # in the whole: each takes more memory than it has octets

_LEAP_SECOND = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}):60((?:[.][0-9]+)?(?:[Zz]|[+-][0-9:]+)?)")


class ReportError(MtaError):
    """A report that cannot be read; says why."""


def parse_report(data: bytes) -> TlsReport:
    """A report. Raises ReportError. Names that are not known are passed over, what is known must have its type."""
    if len(data) > MAX_JSON:
        raise ReportError(f"the report is larger than {MAX_JSON} octets")
    if sum(map(data.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise ReportError(f"the report has more than {MAX_VALUES} values")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ReportError(f"the report is no JSON: {error}"[:200]) from None
    whole = _Object(document, "the report")
    span = _Object(whole.get("date-range"), "date-range")
    policies = tuple(_policy(_Object(entry, "a policy")) for entry in whole.list("policies", MAX_POLICIES))
    if not policies:
        raise ReportError("the report has no policies")
    if sum(len(policy.details) for policy in policies) > MAX_DETAILS:
        raise ReportError(f"the report has more than {MAX_DETAILS} failure details")
    return TlsReport(
        organization=whole.text("organization-name"),
        contact=whole.text("contact-info"),
        id=whole.text("report-id", needed=True),
        begin=_date(span.text("start-datetime", needed=True)),
        end=_date(span.text("end-datetime", needed=True)),
        policies=policies,
    )


class _Object:
    """A JSON object whose members are asked for with their type."""

    def __init__(self, value: object, name: str) -> None:
        if not isinstance(value, dict):
            raise ReportError(f"{name} is no object")
        self._members = value
        self._name = name

    def get(self, name: str) -> Any:
        return self._members.get(name)

    def text(self, name: str, *, needed: bool = False) -> str:
        value = self._members.get(name)
        if value is None and not needed:
            return ""
        if not isinstance(value, str) or len(value) > MAX_STRING:
            raise ReportError(f"{name} of {self._name} is no string of at most {MAX_STRING} characters")
        return value.encode("utf-8", "replace").decode()

    def number(self, name: str) -> int:
        value = self._members.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_COUNT:
            raise ReportError(f"{name} of {self._name} is no count")
        return value

    def list(self, name: str, most: int) -> list[Any]:
        value = self._members.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > most:
            raise ReportError(f"{name} of {self._name} is no list of at most {most} members")
        return value

    def strings(self, *names: str) -> tuple[str, ...]:
        """A list of strings, or one string where a list is meant: both are seen in the field."""
        for name in names:
            value = self._members.get(name)
            if isinstance(value, str):
                return (self.text(name),)
            if texts := self.list(name, MAX_STRINGS):
                return tuple(_Object({name: text}, self._name).text(name, needed=True) for text in texts)
        return ()


def _policy(entry: _Object) -> PolicyReport:
    policy, summary = _Object(entry.get("policy"), "policy"), _Object(entry.get("summary"), "summary")
    return PolicyReport(
        type=policy.text("policy-type", needed=True).lower(),
        domain=policy.text("policy-domain").lower(),
        strings=policy.strings("policy-string"),
        mx_hosts=policy.strings("mx-host", "mx-host-pattern"),
        successes=summary.number("total-successful-session-count"),
        failures=summary.number("total-failure-session-count"),
        details=tuple(
            _detail(_Object(failure, "a failure detail")) for failure in entry.list("failure-details", MAX_DETAILS)
        ),
    )


def _detail(entry: _Object) -> FailureDetail:
    return FailureDetail(
        result=entry.text("result-type", needed=True).lower(),
        count=entry.number("failed-session-count"),
        sending_ip=entry.text("sending-mta-ip"),
        receiving_mx=entry.text("receiving-mx-hostname"),
        receiving_helo=entry.text("receiving-mx-helo"),
        receiving_ip=entry.text("receiving-ip"),
        information=entry.text("additional-information"),
        reason=entry.text("failure-reason-code"),
    )


def _date(text: str) -> int:
    """Epoch seconds of an RFC 3339 date and time; without a zone it is taken for UTC.

    RFC 3339 §5.6: `t` and `z` may be small, and a minute may have a leap second; POSIX counts that as the next one.
    """
    leap = _LEAP_SECOND.fullmatch(text)
    try:
        moment = datetime.fromisoformat((f"{leap[1]}:59{leap[2]}" if leap else text).upper())
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()) + (leap is not None)
    except (ValueError, OverflowError):
        raise ReportError(f"{text[:40]!r} is no date and time") from None
