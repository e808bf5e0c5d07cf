"""Reads aggregate reports that others send, within bounds: RFC 9990, and the form before it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat

from mta.errors import MtaError
from mta.rfc.dmarc.report import MAX_SIGNATURES, AggregateReport, PublishedPolicy, ReportMetadata, ReportRow

MAX_XML = 10 * 1024 * 1024  # octets, unpacked
MAX_ROWS = 100_000
MAX_DEPTH = 20
MAX_ELEMENTS = 1_000_000  # of the whole; the smallest row has a dozen
MAX_REASONS = 100  # of one row
MAX_PART = 10_000  # elements of one record, or of what is said of the whole

_ADDRESS_FAMILY = re.compile(r"[0-9A-Fa-f:.]{2,45}")


class ReportError(MtaError):
    """A report that cannot be read; says why."""


def parse_report(xml: bytes) -> AggregateReport:
    """A report of either namespace. Raises ReportError; no document type, so no entity is ever expanded.

    It is read record by record: no more than one of them, and the rows, are in memory.
    """
    reading = _Reading()
    reading.parse(xml)
    whole = _Node("", children=reading.whole)
    metadata, policy = whole.child("report_metadata"), whole.child("policy_published")
    span = metadata.child("date_range")
    return AggregateReport(
        ReportMetadata(
            metadata.text("org_name"),
            metadata.text("email"),
            metadata.text("report_id"),
            _number(span.text("begin")),
            _number(span.text("end")),
            metadata.text("extra_contact_info"),
            tuple(child.content for child in metadata.children if child.name == "error"),
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
        reading.rows,
    )


@dataclass(slots=True)
class _Node:
    """An element without its namespace."""

    name: str
    pieces: list[str] = field(default_factory=list)
    children: list[_Node] = field(default_factory=list)

    @property
    def content(self) -> str:
        return "".join(self.pieces).strip()

    def child(self, name: str) -> _Node:
        return next((child for child in self.children if child.name == name), _Node(name))

    def text(self, name: str) -> str:
        return self.child(name).content


@dataclass(slots=True)
class _Reading:
    """One pass. `stack` are the elements that are open below the root, `whole` those that are said of all rows."""

    rows: dict[ReportRow, int] = field(default_factory=dict)
    whole: list[_Node] = field(default_factory=list)
    depth: int = 0
    elements: int = 0
    part: int = 0  # elements of the part in view
    records: int = 0
    stack: list[_Node] = field(default_factory=list)

    def parse(self, xml: bytes) -> None:
        """All of it. Raises ReportError."""
        if len(xml) > MAX_XML:
            raise ReportError(f"the report is larger than {MAX_XML} octets")
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = _doctype
        try:
            parser.Parse(xml, True)
        except (expat.ExpatError, LookupError, ValueError) as error:
            raise ReportError(f"the report is no XML: {error}") from error

    def _start(self, name: str, _attributes: dict[str, str]) -> None:
        name = name.rpartition(" ")[2]
        self.depth += 1
        self.elements += 1
        self.part = self.part + 1 if self.depth > 2 else 0
        if self.depth == 1:
            if name != "feedback":
                raise ReportError(f"the document is <{name[:40]}>, not <feedback>")
            return
        if self.depth > MAX_DEPTH or self.elements > MAX_ELEMENTS or self.part > MAX_PART:
            raise ReportError(f"the report is deeper than {MAX_DEPTH}, or has too many elements")
        node = _Node(name)
        if self.stack:
            self.stack[-1].children.append(node)
        self.stack.append(node)

    def _characters(self, text: str) -> None:
        if self.stack:
            self.stack[-1].pieces.append(text)

    def _end(self, _name: str) -> None:
        self.depth -= 1
        if not self.depth:
            return
        node = self.stack.pop()
        if self.stack:
            return
        if node.name == "record":
            self._record(node)
        elif node.name in _OF_ALL and node.name not in [child.name for child in self.whole]:
            self.whole.append(node)

    def _record(self, node: _Node) -> None:
        self.records += 1
        if self.records > MAX_ROWS:
            raise ReportError(f"the report has more than {MAX_ROWS} records")
        row = _read_row(node)
        self.rows[row] = self.rows.get(row, 0) + _number(node.child("row").text("count"))


_OF_ALL = ("report_metadata", "policy_published")


def _doctype(*_: object) -> None:
    raise ReportError("the report has a document type; that could define entities")


def _read_row(record: _Node) -> ReportRow:
    row, who, results = record.child("row"), record.child("identifiers"), record.child("auth_results")
    evaluated = row.child("policy_evaluated")
    reasons = [child for child in evaluated.children if child.name == "reason"][:MAX_REASONS]
    overrides = [(reason.text("type").lower(), reason.text("comment")) for reason in reasons] or [("", "")]
    source = row.text("source_ip")
    if not _ADDRESS_FAMILY.fullmatch(source):
        raise ReportError(f"{source[:60]!r} is no address")
    signatures = [child for child in results.children if child.name == "dkim"][:MAX_SIGNATURES]
    spf = results.child("spf")
    return ReportRow(
        source,
        evaluated.text("disposition").lower(),
        evaluated.text("dkim").lower() == "pass",
        evaluated.text("spf").lower() == "pass",
        who.text("header_from").lower(),
        who.text("envelope_from").lower(),
        who.text("envelope_to").lower(),
        tuple(
            (signature.text("domain"), signature.text("selector"), signature.text("result").lower())
            for signature in signatures
        ),
        (spf.text("domain"), spf.text("result").lower()),
        overrides[0],
        tuple(overrides[1:]),
    )


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise ReportError(f"{text[:40]!r} is no number")
    return int(text)
