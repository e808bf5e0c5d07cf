"""Alignment and the verdict: RFC 9989 §4.10.2, §5.3. Pure; `check` has looked everything up before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mta.model.address import ascii_lower
from mta.model.auth import AuthResult, DkimOutcome, DmarcOutcome, SpfOutcome
from mta.model.author import FromField
from mta.rfc.dmarc.walk import Found, Walk

MAX_IDENTIFIERS = 11  # MAIL FROM and ten signatures
MAX_LISTED = 300  # characters of a list in a reason


@dataclass(frozen=True, slots=True)
class Identifier:
    """A domain that SPF or DKIM speaks for. `proven`: it passed; otherwise its check is unfinished (temperror)."""

    method: str  # `spf` or `dkim`
    domain: str
    proven: bool

    def __str__(self) -> str:
        return f"{self.method} {'pass' if self.proven else 'temperror'} for {self.domain}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a verdict rests on.

    `organizations` maps a domain to its organizational domain, or to an empty string where the walk failed; domains
    whose walk was not needed are missing. `exists`: whether the author's domain does, None where that is unknown.
    """

    author: str
    walk: Walk
    identifiers: tuple[Identifier, ...] = ()
    organizations: Mapping[str, str] = field(default_factory=dict)
    exists: bool | None = True


def author_problem(from_field: FromField) -> str:
    """Why the message has no author domain that could be judged; empty: it has exactly one (RFC 9989 §5.3.1)."""
    if from_field.count == 0:
        return "the message has no From field"
    if from_field.error:
        return f"the From field cannot be read: {from_field.error}"
    if from_field.count > 1:
        return f"the message has {from_field.count} From fields"
    if len(from_field.authors) != 1:
        return f"the From field names {len(from_field.authors)} authors"
    return ""


def identifiers(spf: SpfOutcome, dkim: tuple[DkimOutcome, ...]) -> tuple[Identifier, ...]:
    """The domains that may vouch for the author, each once a method (RFC 9989 §4.4)."""
    unique: dict[Identifier, None] = {}
    results = [("spf", spf.result, spf.domain), *(("dkim", outcome.result, outcome.domain) for outcome in dkim)]
    for method, result, domain in results:
        if domain and result in (AuthResult.PASS, AuthResult.TEMPERROR):
            unique[Identifier(method, ascii_lower(domain).removesuffix("."), result is AuthResult.PASS)] = None
    return tuple(unique)[:MAX_IDENTIFIERS]


def is_strict(policy: Found, identifier: Identifier) -> bool:
    """Whether the record wants this identifier to be the author's very domain."""
    return policy.record.strict_spf if identifier.method == "spf" else policy.record.strict_dkim


def wants_organization(policy: Found, author: str, identifier: Identifier) -> bool:
    """Whether alignment can only be told from organizational domains (RFC 9989 §4.10.2)."""
    return identifier.domain != author and not is_strict(policy, identifier)


def is_within(domain: str, organization: str) -> bool:
    """Whether `domain` could have this organizational domain: it is that, or below it."""
    return domain == organization or domain.endswith(f".{organization}")


def evaluate(evidence: Evidence) -> DmarcOutcome:
    """The verdict on a message with one author domain."""
    author, walk = evidence.author, evidence.walk
    if walk.error and walk.own is None:
        return DmarcOutcome(AuthResult.TEMPERROR, domain=author, reason=walk.error)
    policy = walk.policy
    if policy is None:
        return DmarcOutcome(AuthResult.NONE, domain=author, reason=f"neither {author} nor a domain above has a policy")
    if not policy.record.applies:  # RFC 9989 §4.10.1
        reason = f"the record of {policy.domain} has neither a valid policy nor an address for reports"
        return DmarcOutcome(
            AuthResult.NONE, domain=author, policy_domain=policy.domain, reason=reason, record=policy.record.text
        )
    return _verdict(evidence, policy)


def _verdict(evidence: Evidence, policy: Found) -> DmarcOutcome:
    aligned = [identifier for identifier in evidence.identifiers if _alignment(evidence, policy, identifier)]
    unknown = [identifier for identifier in evidence.identifiers if _alignment(evidence, policy, identifier) is None]
    passed = [identifier for identifier in aligned if identifier.proven]
    own = policy.domain == evidence.author
    undecided = not own and evidence.exists is None and policy.record.depends_on_existence
    if passed:
        result, reason = AuthResult.PASS, f"{passed[0]} is aligned with {evidence.author}"
    elif aligned or unknown:  # RFC 9989 §5.3.6: a look-up that failed is neither pass nor fail
        result, reason = AuthResult.TEMPERROR, f"{(aligned or unknown)[0]}: whether it vouches is not known now"
    elif undecided:
        result, reason = AuthResult.TEMPERROR, f"whether {evidence.author} exists cannot be looked up now"
    else:
        listed = ", ".join(map(str, evidence.identifiers))[:MAX_LISTED] or "neither SPF nor DKIM passed"
        result, reason = AuthResult.FAIL, f"nothing is aligned with {evidence.author}: {listed}"
    return DmarcOutcome(
        result=result,
        policy=policy.record.policy(own=own, exists=evidence.exists),
        domain=evidence.author,
        policy_domain=policy.domain,
        reason=reason,
        spf_aligned=any(identifier.method == "spf" for identifier in passed),
        dkim_aligned=any(identifier.method == "dkim" for identifier in passed),
        testing=policy.record.testing,
        record=policy.record.text,
    )


def _alignment(evidence: Evidence, policy: Found, identifier: Identifier) -> bool | None:
    """RFC 9989 §4.4: the same domain or, relaxed, the same organizational domain. None: not known."""
    if identifier.domain == evidence.author:
        return True
    if is_strict(policy, identifier):
        return False
    if evidence.walk.error:  # the organization could be anything down to the top label
        return None if is_within(identifier.domain, evidence.author.rpartition(".")[2]) else False
    organization = evidence.walk.organizational_domain
    if not is_within(identifier.domain, organization):
        return False
    other = evidence.organizations.get(identifier.domain, "")
    return other == organization if other else None
