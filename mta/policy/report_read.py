"""A report of somebody else, out of whatever it arrived in: a message, a packed file, a bare document."""

from __future__ import annotations

from dataclasses import dataclass

from mta.errors import MtaError
from mta.rfc.arf.parse import MEDIA_TYPE as FEEDBACK
from mta.rfc.arf.parse import FeedbackReport
from mta.rfc.arf.parse import parse_report as parse_feedback
from mta.rfc.dmarc.report import AggregateReport
from mta.rfc.dmarc.report_parse import parse_report as parse_dmarc
from mta.rfc.mime.detach import Part, leaves
from mta.rfc.mime.unpack import unpack
from mta.rfc.tlsrpt.report import TlsReport
from mta.rfc.tlsrpt.report_parse import parse_report as parse_tls

_MOST = 10  # reports of one message
_BEGINNINGS = (b"\x1f\x8b", b"PK\x03\x04", b"<", b"{", b"\xef\xbb\xbf<", b"\xef\xbb\xbf{")
_TYPES = ("application/tlsrpt", "application/tlsrpt+json", "application/tlsrpt+gzip", "application/gzip")
_ENDINGS = (".xml", ".xml.gz", ".json", ".json.gz", ".zip", ".gz")


Known = AggregateReport | TlsReport | FeedbackReport


@dataclass(frozen=True, slots=True)
class Found:
    """What was read, and why other attachments that could be reports were not."""

    reports: tuple[Known, ...] = ()
    problems: tuple[str, ...] = ()


def read_reports(data: bytes) -> Found:
    """Every report in `data`. Never raises."""
    if data.lstrip(b" \t\r\n").startswith(_BEGINNINGS):
        candidates = [Part("", "the file", data.lstrip(b" \t\r\n"))]
    else:
        candidates = [part for part in leaves(data) if _may_be(part)]
    reports: list[Known] = []
    problems = []
    for part in candidates[:_MOST]:
        try:
            reports.append(_read(part))
        except MtaError as error:
            problems.append(f"{part.name or part.media_type}: {error}")
    if not candidates:
        problems.append("no attachment is a report")
    return Found(tuple(reports), tuple(problems))


def _may_be(part: Part) -> bool:
    packed = part.media_type.startswith("application/") and part.data.startswith(_BEGINNINGS[:2])
    return packed or part.media_type in (*_TYPES, FEEDBACK) or part.name.lower().endswith(_ENDINGS)


def _read(part: Part) -> Known:
    if part.media_type == FEEDBACK:
        return parse_feedback(part.data)
    content = unpack(part.data)
    document = content.lstrip(b"\xef\xbb\xbf \t\r\n")
    return parse_tls(document) if document.startswith(b"{") else parse_dmarc(content)
