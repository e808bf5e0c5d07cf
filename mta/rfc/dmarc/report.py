"""Aggregate reports, composed from counted rows: RFC 9990. `report_parse` reads those of others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from mta.model.auth import AuthenticationFacts, AuthResult, DkimOutcome
from mta.rfc.dmarc.parse import DmarcRecord

NAMESPACE = "urn:ietf:params:xml:ns:dmarc-2.0"
MAX_SIGNATURES = 100  # RFC 9990 §3.1.3
MAX_ROWS = 20_000  # of one report of ours: few receivers take more than ten megabytes, unpacked

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class ReportMetadata:
    """Who reports on which time: `begin` and `end` are epoch seconds, both within it."""

    organization: str
    email: str
    report_id: str
    begin: int
    end: int
    contact: str = ""
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PublishedPolicy:
    """The policy that was seen, and the domain that published it."""

    domain: str
    p: str
    sp: str = ""
    np: str = ""
    adkim: str = "r"
    aspf: str = "r"
    fo: str = "0"
    testing: bool = False

    @classmethod
    def of(cls, domain: str, record: DmarcRecord) -> PublishedPolicy:
        """As `record`, found at `domain`, says it."""
        adkim, aspf = ("s" if strict else "r" for strict in (record.strict_dkim, record.strict_spf))
        return cls(domain, record.p, record.sp, record.np, adkim, aspf, record.failure_options, record.testing)


@dataclass(frozen=True, slots=True)
class ReportRow:
    """What messages must have in common to be counted together.

    `disposition` is `none`, `pass`, `quarantine` or `reject`; `dkim` holds (domain, selector, result), `spf` (domain,
    result) of MAIL FROM; `override` says why the disposition is not the policy's (RFC 9990 §3.1.6), with a comment;
    `further_overrides` are more of those, in reports of others.
    """

    source: str
    disposition: str
    dkim_aligned: bool
    spf_aligned: bool
    header_from: str
    envelope_from: str = ""
    envelope_to: str = ""
    dkim: tuple[tuple[str, str, str], ...] = ()
    spf: tuple[str, str] = ("", "none")
    override: tuple[str, str] = ("", "")
    further_overrides: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AggregateReport:
    """A whole report."""

    metadata: ReportMetadata
    policy: PublishedPolicy
    rows: Mapping[ReportRow, int]


def row_of(facts: AuthenticationFacts, source: str, disposition: str, envelope_to: str = "") -> ReportRow:
    """The row that a judged message belongs to; `disposition` is what was done with one that failed."""
    dmarc = facts.dmarc
    passed = dmarc is not None and dmarc.result is AuthResult.PASS
    # RFC 9990 appendix A: a pass is one only under a policy that would have done something
    good = "pass" if dmarc is not None and dmarc.policy not in ("", "none") else "none"
    author = dmarc.domain if dmarc is not None else ""
    named = (signature for signature in facts.dkim if signature.domain and signature.selector)
    ranked = sorted(named, key=lambda signature: _rank(signature, author))[:MAX_SIGNATURES]
    return ReportRow(
        source=source,
        disposition=good if passed else disposition,
        dkim_aligned=dmarc is not None and dmarc.dkim_aligned,
        spf_aligned=dmarc is not None and dmarc.spf_aligned,
        header_from=author,
        envelope_from=facts.spf_mail_from.domain,
        envelope_to=envelope_to,
        dkim=tuple((signature.domain, signature.selector, signature.result.value) for signature in ranked),
        spf=(facts.spf_mail_from.domain, facts.spf_mail_from.result.value),
    )


def _rank(outcome: DkimOutcome, author: str) -> int:
    """RFC 9990 §3.1.3: those that pass go first, of them the author's own, then those of relatives."""
    if not outcome.result.passed:
        return 3
    if outcome.domain == author:
        return 0
    related = author.endswith(f".{outcome.domain}") or outcome.domain.endswith(f".{author}")
    return 1 if related else 2


def compose_report(report: AggregateReport, generator: str = "mta") -> bytes:
    """The XML document (RFC 9990 appendix A)."""
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', *_document(report, generator), ""]).encode()


def _document(report: AggregateReport, generator: str) -> Iterator[str]:
    metadata, policy = report.metadata, report.policy
    yield f'<feedback xmlns="{NAMESPACE}">'
    yield "<version>1.0</version>"
    yield "<report_metadata>"
    yield _element("org_name", metadata.organization) + _element("email", metadata.email)
    yield _optional("extra_contact_info", metadata.contact) + _element("report_id", metadata.report_id)
    yield f"<date_range><begin>{metadata.begin}</begin><end>{metadata.end}</end></date_range>"
    yield _optional("error", "; ".join(metadata.errors)[:1000]) + _element("generator", generator)
    yield "</report_metadata>"
    yield "<policy_published>"
    yield _element("domain", policy.domain) + _element("p", policy.p)
    yield _element("sp", policy.sp or policy.p) + _optional("np", policy.np)
    yield _element("adkim", policy.adkim) + _element("aspf", policy.aspf) + _element("fo", policy.fo)
    yield _element("testing", "y" if policy.testing else "n") + _element("discovery_method", "treewalk")
    yield "</policy_published>"
    for row, count in report.rows.items():
        yield from _record(row, count)
    yield "</feedback>"


def _record(row: ReportRow, count: int) -> Iterator[str]:
    reason = "".join(
        f"<reason>{_element('type', kind)}{_optional('comment', comment)}</reason>"
        for kind, comment in (row.override, *row.further_overrides)
        if kind
    )
    yield f"<record><row>{_element('source_ip', row.source)}<count>{count}</count><policy_evaluated>"
    yield _element("disposition", row.disposition) + _element("dkim", "pass" if row.dkim_aligned else "fail")
    yield _element("spf", "pass" if row.spf_aligned else "fail") + reason + "</policy_evaluated></row>"
    yield "<identifiers>" + _optional("envelope_to", row.envelope_to) + _element("envelope_from", row.envelope_from)
    yield _element("header_from", row.header_from) + "</identifiers><auth_results>"
    for domain, selector, result in row.dkim[:MAX_SIGNATURES]:
        yield (
            "<dkim>"
            + _element("domain", domain)
            + _element("selector", selector)
            + _element("result", result)
            + "</dkim>"
        )
    domain, result = row.spf
    yield f"<spf>{_element('domain', domain)}<scope>mfrom</scope>{_element('result', result)}</spf>"
    yield "</auth_results></record>"


def _element(name: str, text: str) -> str:
    return f"<{name}>{escape(_NOT_XML.sub('?', text))}</{name}>"


def _optional(name: str, text: str) -> str:
    return _element(name, text) if text else ""
