"""Contracts that the traffic already seen would have kept: proposed in audit mode, with what they rest on.

Only what held every time is proposed, and only for domains that no contract covers yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mta.contract.connectors import DEFAULT
from mta.contract.index import ConnectorIndex
from mta.importers.draft import Draft
from mta.model.auth import AuthenticationFacts, AuthResult, DkimOutcome
from mta.model.evidence.attempt import Attempt
from mta.model.evidence.delivery import Delivery
from mta.model.evidence.message import Accepted
from mta.model.session import SessionFacts
from mta.model.tls import TlsFacts, TlsLevel
from mta.policy.recorded import authentication, author, mailbox, session_facts

MOST_ADDRESSES = 8  # more hosts than these are no network one could list
MOST_KEYS = 2  # one, and the next one
GOOD_BITS = 2048


@dataclass(frozen=True, slots=True)
class _Arrival:
    """A message that came: the session, whom From named, and what SPF and DKIM found where they were asked."""

    facts: SessionFacts
    author: str
    found: AuthenticationFacts | None


@dataclass(slots=True)
class _Partner:
    """What was seen of one domain, in both directions."""

    came: list[_Arrival] = field(default_factory=list)
    went: list[Attempt] = field(default_factory=list)  # attempts that delivered


def suggest(index: ConnectorIndex, messages: Iterable[Mapping[str, object]], least: int) -> Draft:
    """Contracts for the domains of which at least `least` messages came or went."""
    partners: dict[str, _Partner] = {}
    for message in messages:
        _gather(index, message, partners)
    draft = Draft()
    for domain, partner in sorted(partners.items(), key=lambda item: -len(item[1].came) - len(item[1].went)):
        _propose(index, draft, domain, partner, least)
    return draft


def _gather(index: ConnectorIndex, message: Mapping[str, Any], partners: dict[str, _Partner]) -> None:
    accepted = Accepted.from_json(message["accepted"])
    facts = session_facts(accepted)
    if facts is not None and message["inbound"] == DEFAULT:
        from_ = author(accepted)
        sole = from_.domains[0] if from_ and not from_.ambiguous and len(from_.domains) == 1 else ""
        arrival = _Arrival(facts, sole, authentication(accepted))
        for domain in _claimed(message, sole):
            if _is_free(index, domain):
                partners.setdefault(domain, _Partner()).came.append(arrival)
    for recipient in message["recipients"]:
        box = mailbox(recipient["address"])
        if box is None or recipient["connector"] != DEFAULT or not _is_free(index, box.ascii_domain):
            continue
        for event in message["events"]:
            if event["event"] == "delivery.delivered" and recipient["address"] in event["recipients"]:
                good = [attempt for attempt in Delivery.from_json(event).attempts if attempt.failure is None]
                partners.setdefault(box.ascii_domain, _Partner()).went.extend(good[-1:])


def _claimed(message: Mapping[str, Any], author_domain: str) -> set[str]:
    """Whose names it bears, in MAIL FROM and in From: a contract would judge both."""
    sender = mailbox(message["sender"])
    return {sender.ascii_domain if sender else "", author_domain}


def _is_free(index: ConnectorIndex, domain: str) -> bool:
    return (
        bool(domain) and not domain.startswith("[") and index.our_domain(domain) is None and index.claim(domain) is None
    )


def _propose(index: ConnectorIndex, draft: Draft, domain: str, partner: _Partner, least: int) -> None:
    name = draft.name(domain)
    keys: dict[str, object] = {"mode": "audit", "domains": [domain]}
    notes: list[str] = []
    if len(partner.came) >= least and (inbound := _inbound(domain, partner, notes)):
        keys["inbound"] = inbound
    if len(partner.went) >= least and (outbound := _outbound(index, partner.went, notes)):
        keys["outbound"] = outbound
    if len(keys) == 2 or not draft.claim(name, [domain], domain):
        return
    draft.connectors[name] = keys
    for note in notes:
        draft.differs("", note, name)


# --- in ----------------------------------------------------------------------------------------------------------


def _inbound(domain: str, partner: _Partner, notes: list[str]) -> dict[str, Any]:
    count = len(partner.came)
    sessions = [arrival.facts for arrival in partner.came]
    inbound: dict[str, Any] = {}
    spoken = [facts.tls for facts in sessions if facts.tls is not None]
    certificate = _client_certificate(spoken) if len(spoken) == count else None
    if certificate:
        inbound["tls"] = {"client_certificate": certificate}
        notes.append(f"all {count} messages came with one of these keys: ask the partner before you rely on them")
    elif len(spoken) == count:
        inbound["tls"] = "required"
        notes.append(f"all {count} messages came over TLS ({', '.join(sorted({tls.version for tls in spoken}))})")
    else:
        notes.append(f"{count - len(spoken)} of {count} messages came without TLS")
    demands = _authentication(domain, partner.came, notes)
    if demands:
        inbound["authentication"] = demands
    addresses = sorted({str(facts.client_ip) for facts in sessions})
    if len(addresses) <= MOST_ADDRESSES:
        notes.append(
            f"they came from {', '.join(addresses)}: write them as `networks` if these are the partner's hosts"
        )
    if inbound and not certificate:
        inbound["identity"] = "none"
    return inbound


def _client_certificate(spoken: list[TlsFacts]) -> dict[str, object] | None:
    """The keys shown, where a certificate was shown every time and there are few of them."""
    leaves = [tls.leaf for tls in spoken if tls.leaf is not None]
    pins = sorted({f"spki-sha256:{leaf.spki_sha256}" for leaf in leaves})
    return {"pins": pins} if len(leaves) == len(spoken) and 0 < len(pins) <= MOST_KEYS else None


def _authentication(domain: str, came: list[_Arrival], notes: list[str]) -> dict[str, object]:
    judgements = [arrival.found for arrival in came if arrival.found is not None]
    if len(judgements) < len(came):
        notes.append("SPF and DKIM were not looked at: write authentication: {dmarc: report} in default to see them")
        return {}
    signed = [_aligned(arrival) for arrival in came]
    if all(signed):
        weakest = min(
            (min(outcome.key_bits or GOOD_BITS for outcome in outcomes) for outcomes in signed), default=GOOD_BITS
        )
        notes.append(f"all {len(judgements)} messages bore a good signature of their author's domain")
        return {"dkim": "aligned"} | ({"min_rsa_bits": GOOD_BITS} if weakest >= GOOD_BITS else {})
    if all(facts.spf_mail_from.result is AuthResult.PASS for facts in judgements):
        notes.append(f"SPF passed for all {len(judgements)} messages, a good signature was not on all of them")
        return {"spf": "pass"}
    return {}


def _aligned(arrival: _Arrival) -> list[DkimOutcome]:
    """The good signatures that `aligned` would count under any contract: those of the author's very domain."""
    signatures = arrival.found.dkim if arrival.found else ()
    good = (signature for signature in signatures if signature.result is AuthResult.PASS and not signature.testing)
    return [signature for signature in good if signature.domain == arrival.author]


# --- out ---------------------------------------------------------------------------------------------------------


def _outbound(index: ConnectorIndex, attempts: list[Attempt], notes: list[str]) -> dict[str, object]:
    usual = index.configuration.default.outbound.tls.level
    spoken = [attempt.tls for attempt in attempts if attempt.tls is not None]
    if len(spoken) < len(attempts):
        notes.append(f"{len(attempts) - len(spoken)} of {len(attempts)} messages went without TLS: they would wait")
        return {}
    verified = all(attempt.reached(TlsLevel.VERIFIED) for attempt in attempts)
    level = TlsLevel.VERIFIED if verified else TlsLevel.ENCRYPTED
    if not verified:
        names = sorted({name for facts in spoken if facts.leaf for name in facts.leaf.dns_names})[:6]
        issuers = sorted({facts.chain[-1].issuer for facts in spoken if facts.chain})[:3]
        text = f"the hosts named themselves {', '.join(names) or 'nothing'} (by {'; '.join(issuers) or 'nobody'})"
        notes.append(f"{text}: `mta probe` tells whether verified would do")
    if level <= usual:
        return {}
    notes.append(f"all {len(attempts)} messages went over TLS of this level")
    return {"route": "mx", "tls": {"level": level.word}}
