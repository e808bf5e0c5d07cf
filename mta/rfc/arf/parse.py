"""Reads feedback reports: RFC 5965 §3, and the fields that RFC 6591 §3 and RFC 9991 add for failed authentication."""

from __future__ import annotations

import re
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz

from mta.errors import MtaError
from mta.model.message import HeaderBlock
from mta.rfc.mime.header import HeaderError, scan_header, unfold

MEDIA_TYPE = "message/feedback-report"
MAX_REPORT = 256 * 1024  # octets
MAX_VALUES = 100  # of one field
_MAX_INCIDENTS = 10**9

_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")
_EMPTY_LINES = re.compile(rb"\n(?:[ \t]*\r?\n)+")  # some set groups of fields apart
_SPACE = re.compile(r"[\x00-\x20\x7f]+")


class ReportError(MtaError):
    """A report that cannot be read; says why."""


@dataclass(frozen=True, slots=True)
class FeedbackReport:
    """One report. Fields that were not given are empty; `arrival` is epoch seconds, 0 if it is not known."""

    type: str  # `abuse`, `fraud`, `virus`, `auth-failure` …, in lower case
    user_agent: str = ""
    version: str = ""
    incidents: int = 1
    arrival: int = 0
    source_ip: str = ""
    mail_from: str = ""
    recipients: tuple[str, ...] = ()
    envelope_id: str = ""
    reporting_mta: str = ""
    domains: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    authentication_results: tuple[str, ...] = ()
    auth_failure: str = ""  # RFC 6591 §3.1: `bodyhash`, `signature`, `dmarc` …
    delivery_result: str = ""
    identity_alignment: str = ""
    dkim_domain: str = ""
    dkim_identity: str = ""
    dkim_selector: str = ""
    spf_dns: tuple[str, ...] = ()


def parse_report(part: bytes) -> FeedbackReport:
    """The report in a part of type message/feedback-report. Raises ReportError; unknown fields are passed over."""
    try:
        block = scan_header(_EMPTY_LINES.sub(b"\n", part.lstrip()), MAX_REPORT)
    except HeaderError as error:
        raise ReportError(f"the report cannot be read: {error}") from error
    kind = _one(block, b"feedback-type")
    if not _TYPE.fullmatch(kind):  # RFC 5965 §3.1: it must be there
        raise ReportError("the report has no Feedback-Type")
    return FeedbackReport(
        type=kind.lower(),
        user_agent=_one(block, b"user-agent"),
        version=_one(block, b"version"),
        incidents=_count(_one(block, b"incidents")),
        arrival=_date(_one(block, b"arrival-date") or _one(block, b"received-date")),
        source_ip=_one(block, b"source-ip"),
        mail_from=_one(block, b"original-mail-from").strip("<>"),
        recipients=tuple(value.strip("<>") for value in _all(block, b"original-rcpt-to")),
        envelope_id=_one(block, b"original-envelope-id"),
        reporting_mta=_one(block, b"reporting-mta").rpartition(";")[2].strip(),
        domains=tuple(value.lower() for value in _all(block, b"reported-domain")),
        uris=_all(block, b"reported-uri"),
        authentication_results=_all(block, b"authentication-results"),
        auth_failure=_one(block, b"auth-failure").lower(),
        delivery_result=_one(block, b"delivery-result").lower(),
        identity_alignment=_one(block, b"identity-alignment").lower(),
        dkim_domain=_one(block, b"dkim-domain").lower(),
        dkim_identity=_one(block, b"dkim-identity"),
        dkim_selector=_one(block, b"dkim-selector"),
        spf_dns=_all(block, b"spf-dns"),
    )


def _all(block: HeaderBlock, name: bytes) -> tuple[str, ...]:
    values = (unfold(value).decode("utf-8", "replace") for value in block.values(name)[:MAX_VALUES])
    return tuple(text for value in values if (text := _SPACE.sub(" ", value).strip()))


def _one(block: HeaderBlock, name: bytes) -> str:
    return next(iter(_all(block, name)), "")


def _count(text: str) -> int:
    return min(int(text), _MAX_INCIDENTS) if re.fullmatch(r"[0-9]{1,12}", text) else 1


def _date(text: str) -> int:
    try:
        parts = parsedate_tz(text)
        return max(0, int(mktime_tz(parts))) if parts else 0
    except (ValueError, OverflowError, TypeError, IndexError):
        return 0
