"""RFC 3464 in RFC 6522: the delivery status notification, written byte by byte from what is to be reported.

Three parts: words for people, fields for machines, and the original (all of it, its header, or nothing). The result
is plain ASCII unless an address or the returned original is not; then its parts say so (RFC 6533, 8bit). Peers' words
beyond ASCII are encoded: they do not raise what the way back must be able to carry. Nothing here
knows the time or makes up an identifier: the same report and original give the same bytes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from mta.rfc.mime.date import format_date
from mta.rfc.mime.seven_bit import quoted_printable
from mta.rfc.mime.text import address_value, fold, header_value, plain_line, printable, wrap
from mta.rfc.smtp.xtext import decode_xtext

FULL, HEADERS, NOTHING = "full", "headers", "none"
FAILED, DELAYED, RELAYED, EXPANDED, DELIVERED = "failed", "delayed", "relayed", "expanded", "delivered"

_BARE_END = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_LONG_LINE = re.compile(rb"[^\r\n]{999}")  # RFC 5322 §2.1.1: 998 octets without CRLF
_EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")
_FOLDABLE = re.compile(rb"([^\r\n]{900})(?=[^\r\n])")
_HEADER_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class ReportedRecipient:
    """What became of one recipient. Times are epoch seconds, 0: not said. Texts may be a peer's: they are made safe.

    `original` is ORCPT as it travelled (`rfc822;bob+2Bx@x.example`); `diagnostic` the peer's reply, `diagnostic_type`
    `smtp`, or another registered type; `remote` the name of the host that said it; `tls` one line of evidence.
    """

    address: str
    action: str
    status: str
    explanation: str = ""
    advice: str = ""
    original: str = ""
    remote: str = ""
    diagnostic: str = ""
    diagnostic_type: str = "smtp"
    tls: str = ""
    last_attempt: float = 0.0
    retry_until: float = 0.0


@dataclass(frozen=True, slots=True)
class StatusReport:
    """A whole notification. `id` makes Message-ID and boundary; `returned` is `full`, `headers` or `none`.

    `to` and `from_` are bare addresses, `envid` is ENVID as it travelled (xtext); `date` and `arrival` epoch seconds.
    """

    id: str
    reporting_mta: str
    from_: str
    to: str
    date: float
    subject: str
    introduction: str
    recipients: tuple[ReportedRecipient, ...]
    arrival: float = 0.0
    envid: str = ""
    returned: str = HEADERS

    @property
    def global_(self) -> bool:
        """Whether an address needs the internationalised forms of RFC 6533."""
        ours = (self.to, self.from_, self.reporting_mta)
        return not all(map(str.isascii, (*ours, *(r.address + r.original for r in self.recipients))))

    @property
    def smtputf8(self) -> bool:
        """Whether the notification's own header is internationalised, so that it travels by RFC 6531 only."""
        return not (self.to + self.from_ + self.reporting_mta).isascii()


def compose(report: StatusReport, original: bytes = b"") -> bytes:
    """The notification as bytes ending in CRLF, no line above 998 octets, no bare CR or LF.

    `original` is the message that is reported on; only its header is needed unless `report.returned` is `full`.
    An original that could not be returned unchanged (long lines, NUL, bare line ends) is returned as its header.
    Raises ValueError when a field of ours would hold CR, LF or NUL, or an address cannot be one.
    """
    parts = [_human_part(report), _status_part(report)]
    if report.returned != NOTHING and original:
        parts.append(_original_part(report, original))
    boundary = _boundary(report, parts)
    delimiter = b"--" + boundary + b"\r\n"
    return b"".join(
        (
            _header(report),
            _content_type(report, boundary),
            b"\r\n",
            *(delimiter + part + b"\r\n" for part in parts),
            b"--" + boundary + b"--\r\n",
        )
    )


def _content_type(report: StatusReport, boundary: bytes) -> bytes:
    # RFC 6522 §3: report-type is the subtype of the second part.
    kind = b"global-delivery-status" if report.global_ else b"delivery-status"
    return b"Content-Type: multipart/report; report-type=" + kind + b';\r\n\tboundary="' + boundary + b'"\r\n'


def _header(report: StatusReport) -> bytes:
    lines = (
        ("From", f"Mail Delivery System <{address_value(report.from_)}>"),
        ("To", f"<{address_value(report.to)}>"),
        ("Subject", report.subject),
        ("Date", format_date(report.date)),
        ("Message-ID", f"<{report.id}@{report.reporting_mta}>"),
        ("Auto-Submitted", "auto-replied"),  # RFC 3834 §5
        ("MIME-Version", "1.0"),
    )
    return b"".join(fold(name, header_value(value)) for name, value in lines)


def _human_part(report: StatusReport) -> bytes:
    blocks = [wrap(report.introduction, "")]
    blocks += [_told(recipient) for recipient in report.recipients]
    blocks.append(f"Reporting server: {plain_line(report.reporting_mta)}\r\nReport: {plain_line(report.id)}\r\n")
    text = "\r\n".join(blocks).encode("utf-8")
    charset, encoding = ("us-ascii", "7bit") if text.isascii() else ("utf-8", "quoted-printable")
    head = f"Content-Type: text/plain; charset={charset}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    return head.encode("ascii") + (text if text.isascii() else quoted_printable(text))


def _told(recipient: ReportedRecipient) -> str:
    """One recipient in words: who, what happened, what to do, and the evidence."""
    lines = [wrap(f"{recipient.address}: {recipient.action} ({recipient.status})", "")]
    for label, text in (
        ("", recipient.explanation),
        ("What to do: ", recipient.advice),
        ("Server: ", recipient.remote),
        ("Its answer: ", recipient.diagnostic if recipient.diagnostic_type == "smtp" else ""),
        ("TLS: ", recipient.tls),
    ):
        if text:
            lines.append(wrap(label + text, "    "))
    return "".join(lines)


def _status_part(report: StatusReport) -> bytes:
    blocks = [_message_fields(report)]
    blocks += [_recipient_fields(recipient, report.global_) for recipient in report.recipients]
    body = b"\r\n".join(blocks)
    if not report.global_:
        return b"Content-Type: message/delivery-status\r\nContent-Transfer-Encoding: 7bit\r\n\r\n" + body
    encoding = b"7bit" if body.isascii() else b"8bit"
    # RFC 6533 §4: message/global-delivery-status, 8bit wherever possible.
    return (
        b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body
    )


def _message_fields(report: StatusReport) -> bytes:
    """RFC 3464 §2.2."""
    fields = []
    if envid := _decoded(report.envid):
        fields.append(("Original-Envelope-Id", envid))
    fields.append(("Reporting-MTA", f"dns; {report.reporting_mta}"))
    if report.arrival:
        fields.append(("Arrival-Date", format_date(report.arrival)))
    return _fields(fields, ascii_only=not report.global_)


def _recipient_fields(recipient: ReportedRecipient, global_: bool) -> bytes:
    """RFC 3464 §2.3, in the order of its grammar."""
    fields = []
    if original := _original_recipient(recipient.original, global_):
        fields.append(("Original-Recipient", original))
    kind = "rfc822" if recipient.address.isascii() else "utf-8"  # RFC 6533 §3
    fields.append(("Final-Recipient", f"{kind}; {address_value(recipient.address)}"))
    fields.append(("Action", recipient.action))
    fields.append(("Status", recipient.status))
    if recipient.remote:
        fields.append(("Remote-MTA", f"dns; {plain_line(recipient.remote)}"))
    if recipient.diagnostic:
        fields.append(("Diagnostic-Code", f"{recipient.diagnostic_type}; {plain_line(recipient.diagnostic)}"))
    if recipient.last_attempt:
        fields.append(("Last-Attempt-Date", format_date(recipient.last_attempt)))
    if recipient.retry_until and recipient.action == DELAYED:
        # RFC 3464 §2.3.9: Will-Retry-Until only where the action is "delayed".
        fields.append(("Will-Retry-Until", format_date(recipient.retry_until)))
    return _fields(fields, ascii_only=not global_)


def _fields(fields: list[tuple[str, str]], *, ascii_only: bool) -> bytes:
    return b"".join(fold(name, header_value(_ascii(value) if ascii_only else value)) for name, value in fields)


def _ascii(value: str) -> str:
    return value.encode("ascii", "replace").decode("ascii")


def _original_recipient(orcpt: str, global_: bool) -> str:
    """`rfc822; bob+x@x.example` from ORCPT; empty if it was not given or cannot be shown."""
    # RFC 3461 §4.2: the xtext is decoded, the addr-type kept as the sender gave it.
    kind, separator, xtext = orcpt.partition(";")
    address = _decoded(xtext)
    if global_ and kind.lower() == "utf-8":
        address = _EMBEDDED.sub(_character, address)
    return f"{kind}; {address}" if separator and address and re.fullmatch(r"[A-Za-z0-9-]+", kind) else ""


def _character(escape: re.Match[str]) -> str:
    """One `\\x{HEX}` of RFC 6533 §3 as the character it means; left as it is where that would not be printable."""
    number = int(escape[1], 16)
    return chr(number) if number <= 0x10FFFF and printable(chr(number)) == chr(number) else escape[0]


def _decoded(xtext: str) -> str:
    """What xtext stands for, or nothing where that is not printable: the sender's own defect is not passed on."""
    try:
        # RFC 6533 §3: an ORCPT of an internationalised session may hold the address as plain UTF-8.
        text = decode_xtext(xtext).decode("utf-8") if xtext.isascii() else xtext
    except ValueError:
        return ""
    return text if printable(text) == text else ""


def _original_part(report: StatusReport, original: bytes) -> bytes:
    if report.returned == FULL and _returnable(original):
        kind = "message/global" if report.global_ else "message/rfc822"
        body = original if original.endswith(b"\r\n") else original + b"\r\n"
    else:
        kind = "message/global-headers" if report.global_ else "text/rfc822-headers"
        body = _header_of(original)
    encoding = "7bit" if body.isascii() else "8bit"
    return f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode("ascii") + body


def _returnable(original: bytes) -> bool:
    return b"\0" not in original and not _BARE_END.search(original) and not _LONG_LINE.search(original)


def _header_of(original: bytes) -> bytes:
    """The header block without the empty line, with what no line may hold made harmless."""
    end = original.find(_HEADER_END)
    head = original if end < 0 else original[: end + 2]
    if head.startswith(b"\r\n"):
        return b""
    if not _returnable(head):
        head = _BARE_END.sub(b"\r\n", head.replace(b"\0", b"?"))
        head = _FOLDABLE.sub(rb"\1\r\n ", head)
    return head if head.endswith(b"\r\n") else head + b"\r\n"


def _boundary(report: StatusReport, parts: list[bytes]) -> bytes:
    """A boundary that no part contains, made from the report's own id."""
    # RFC 2046 §5.1.1: boundary delimiters must not appear within the encapsulated material.
    for number in range(len(parts) + 1000):
        digest = sha256(f"{report.id} {number}".encode("utf-8", "replace")).hexdigest()[:32]
        boundary = f"=_{digest}".encode("ascii")
        if not any(boundary in part for part in parts):
            return boundary
    raise ValueError("no boundary is free: the original contains all of them")
