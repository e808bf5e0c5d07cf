"""Reads aggregate reports that others send, within bounds: RFC 9990, and the form before it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat

from mta.errors import MtaError
from mta.rfc.dmarc.report import MAX_SIGNATURES, PublishedPolicy, Report, ReportMetadata, ReportRow

MAX_XML = 10 * 1024 * 1024  # octets, unpacked
MAX_ROWS = 100_000
MAX_DEPTH = 20

_ADDRESS_FAMILY = re.compile(r"[0-9A-Fa-f:.]{2,45}")


class ReportError(MtaError):
    """A report that cannot be read; says why."""


def parse_report(xml: bytes) -> Report:
    """A report of either namespace. Raises ReportError; no document type, so no entity is ever expanded."""
    root = _tree(xml)
    if root.name != "feedback":
        raise ReportError(f"the document is <{root.name[:40]}>, not <feedback>")
    metadata, policy = root.child("report_metadata"), root.child("policy_published")
    span = metadata.child("date_range")
    rows: dict[ReportRow, int] = {}
    for record in root.children:
        if record.name == "record":
            row = _read_row(record)
            rows[row] = rows.get(row, 0) + _number(record.child("row").text("count"))
    return Report(
        ReportMetadata(
            metadata.text("org_name"),
            metadata.text("email"),
            metadata.text("report_id"),
            _number(span.text("begin")),
            _number(span.text("end")),
            metadata.text("extra_contact_info"),
            tuple(one.content.strip() for one in metadata.children if one.name == "error"),
        ),
        PublishedPolicy(
            policy.text("domain").lower(),
            policy.text("p").lower(),
            policy.text("sp").lower(),
            policy.text("np").lower(),
            policy.text("adkim").lower() or "r",
            policy.text("aspf").lower() or "r",
            policy.text("fo") or "0",
            policy.text("testing").lower() == "y",
        ),
        rows,
    )


@dataclass(slots=True)
class _Node:
    """An element without its namespace."""

    name: str
    content: str = ""
    children: list[_Node] = field(default_factory=list)

    def child(self, name: str) -> _Node:
        return next((one for one in self.children if one.name == name), _Node(name))

    def text(self, name: str) -> str:
        return self.child(name).content.strip()


def _tree(xml: bytes) -> _Node:
    if len(xml) > MAX_XML:
        raise ReportError(f"the report is larger than {MAX_XML} octets")
    stack = [_Node("")]
    records = 0

    def start(name: str, _attributes: dict[str, str]) -> None:
        nonlocal records
        node = _Node(name.rpartition(" ")[2])
        records += node.name == "record"
        if len(stack) > MAX_DEPTH or records > MAX_ROWS:
            raise ReportError(f"the report is deeper than {MAX_DEPTH} elements or has more than {MAX_ROWS} records")
        stack[-1].children.append(node)
        stack.append(node)

    def characters(text: str) -> None:
        stack[-1].content += text

    def doctype(*_: object) -> None:
        raise ReportError("the report has a document type; that could define entities")

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _name: stack.pop()
    parser.CharacterDataHandler = characters
    parser.StartDoctypeDeclHandler = doctype
    try:
        parser.Parse(xml, True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise ReportError(f"the report is no XML: {error}") from error
    return stack[0].children[0]


def _read_row(record: _Node) -> ReportRow:
    row, who, found = record.child("row"), record.child("identifiers"), record.child("auth_results")
    evaluated, reason = row.child("policy_evaluated"), row.child("policy_evaluated").child("reason")
    source = row.text("source_ip")
    if not _ADDRESS_FAMILY.fullmatch(source):
        raise ReportError(f"{source[:60]!r} is no address")
    signatures = [one for one in found.children if one.name == "dkim"][:MAX_SIGNATURES]
    spf = found.child("spf")
    return ReportRow(
        source,
        evaluated.text("disposition").lower(),
        evaluated.text("dkim").lower() == "pass",
        evaluated.text("spf").lower() == "pass",
        who.text("header_from").lower(),
        who.text("envelope_from").lower(),
        who.text("envelope_to").lower(),
        tuple((one.text("domain"), one.text("selector"), one.text("result").lower()) for one in signatures),
        (spf.text("domain"), spf.text("result").lower()),
        (reason.text("type").lower(), reason.text("comment")),
    )


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise ReportError(f"{text[:40]!r} is no number")
    return int(text)
