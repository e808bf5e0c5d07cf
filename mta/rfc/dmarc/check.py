"""Looks up what the DMARC verdict on a message needs, and no more: RFC 9989 §4.10, §5.3."""

from __future__ import annotations

from mta.model.address import ascii_lower
from mta.model.auth import AuthResult, DkimOutcome, DmarcOutcome, SpfOutcome
from mta.model.author import FromField
from mta.ports import DnsStatus, SenderNames
from mta.rfc.dmarc.evaluate import (
    Evidence,
    Identifier,
    author_problem,
    evaluate,
    identifiers,
    is_within,
    wants_organization,
)
from mta.rfc.dmarc.parse import parse_record, select_record
from mta.rfc.dmarc.walk import Found, Walk, ends_walk, names

MAX_DESTINATIONS = 10


async def check(
    from_field: FromField, spf: SpfOutcome, dkim: tuple[DkimOutcome, ...], resolver: SenderNames
) -> DmarcOutcome:
    """The verdict on a message; `spf` is that of MAIL FROM (RFC 9989 §4.4.2: HELO does not count).

    No author, several, or a From that cannot be read is a permerror with its reason, never a pass.
    """
    problem = author_problem(from_field)
    if problem:
        return DmarcOutcome(AuthResult.PERMERROR, reason=problem)
    author = from_field.domains[0].removesuffix(".")
    if not author or author.startswith("["):
        return DmarcOutcome(AuthResult.NONE, domain=author, reason="the author's address has no domain name")
    claims = identifiers(spf, dkim)
    walk = await _walk(author, resolver, claims)
    policy = walk.policy
    if policy is None or not policy.record.applies:
        return evaluate(Evidence(author, walk))
    organizations = {} if walk.error else await _organizations(walk, policy, claims, resolver)
    exists: bool | None = True
    if policy.domain != author and policy.record.depends_on_existence:
        exists = await _exists(author, resolver)
    return evaluate(Evidence(author, walk, claims, organizations, exists))


async def report_destinations(policy_domain: str, addresses: tuple[str, ...], resolver: SenderNames) -> tuple[str, ...]:
    """Those of a record's `rua` (mailto: only) that may be sent reports on `policy_domain` (RFC 9990 §4).

    Mailboxes of another organization must have agreed, and may name others of their own instead. Where that cannot be
    looked up now, nothing is sent to them. At most ten addresses are considered.
    """
    own = (await _walk(policy_domain, resolver)).organizational_domain
    agreed: dict[str, None] = {}
    for address in addresses[:MAX_DESTINATIONS]:
        host = _host(address)
        if not host:
            continue
        theirs = await _walk(host, resolver)
        if not theirs.error and theirs.organizational_domain == own:
            agreed[address] = None
            continue
        answer = await resolver.txt(f"{policy_domain}._report._dmarc.{host}")
        records = [record for record in map(parse_record, answer.records) if record is not None]
        instead = tuple(uri for record in records for uri in record.rua)[:MAX_DESTINATIONS]
        # RFC 9990 §4, step 9: only at the same host, else neither the one nor the other
        if records and all(_host(uri) == host for uri in instead):
            agreed |= dict.fromkeys(instead or (address,))
    return tuple(agreed)


def _host(address: str) -> str:
    """The host of a mailto: address, in lower case; empty if it is none."""
    scheme, _, mailbox = address.partition(":")
    local, at, host = mailbox.partition("?")[0].rpartition("@")
    return ascii_lower(host) if scheme.lower() == "mailto" and local and at else ""


async def _walk(domain: str, resolver: SenderNames, claims: tuple[Identifier, ...] | None = None) -> Walk:
    """A walk from `domain`. With `claims` it ends at the author's own record where the rest would change nothing."""
    policies: list[Found] = []
    for name in names(domain):
        answer = await resolver.txt(f"_dmarc.{name}")
        if answer.status is DnsStatus.TEMPORARY:
            return Walk(domain, tuple(policies), f"_dmarc.{name} cannot be looked up: {answer.detail}")
        record = select_record(answer.records)
        if record is None:
            continue
        policies.append(Found(name, record))
        if ends_walk(record):
            break
        if claims is not None and name == domain and not any(wants_organization(policies[0], name, c) for c in claims):
            break
    return Walk(domain, tuple(policies))


async def _organizations(
    walk: Walk, policy: Found, claims: tuple[Identifier, ...], resolver: SenderNames
) -> dict[str, str]:
    """The organizational domains that alignment depends on; an empty one where the walk failed."""
    organization = walk.organizational_domain
    organizations: dict[str, str] = {}
    for claim in claims:
        needed = wants_organization(policy, walk.start, claim) and is_within(claim.domain, organization)
        if needed and claim.domain not in organizations:
            other = await _walk(claim.domain, resolver)
            organizations[claim.domain] = "" if other.error else other.organizational_domain
    return organizations


async def _exists(domain: str, resolver: SenderNames) -> bool | None:
    """Whether the domain exists, by the response code alone (RFC 9989 §3.2: NXDOMAIN); None: not known."""
    answer = await resolver.a(domain)
    return None if answer.status is DnsStatus.TEMPORARY else answer.status is not DnsStatus.NXDOMAIN
