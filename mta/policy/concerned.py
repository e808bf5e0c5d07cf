"""Whose `authentication` a message is under, what each of them sees, and the strictest of what they make of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

from mta.contract.connectors import Connector
from mta.contract.index import ConnectorIndex
from mta.contract.values import Network
from mta.model.auth import AuthenticationFacts, AuthResult
from mta.model.author import FromField
from mta.model.word import Word
from mta.policy.authenticate import aligned, judge_authentication
from mta.policy.decision import Decision, Reason, Verdict
from mta.policy.enforce import HEADER_FROM, claimed
from mta.policy.identify import Identity
from mta.rfc.mime.trace_hops import TracedHop


def concerned(index: ConnectorIndex, identity: Identity, governing: str, from_: FromField) -> tuple[Connector, ...]:
    """Whose `authentication` this mail is under: the connector that took MAIL FROM, then those the author claims.

    What our own systems send out is not looked at, unless their connector says so.
    """
    if not index.any_authentication:
        return ()
    names = [governing, *(claimant.name for claimant in _claimants(index, from_))]
    connectors = index.configuration.connectors
    partners = tuple(connectors[name] for name in dict.fromkeys(names) if name in connectors)
    if identity.relays:
        partners = tuple(connector for connector in partners if connector.name == identity.connector.name)
    return tuple(c for c in partners if c.inbound.authentication.checked or c.inbound.header_from == "dkim")


def _claimants(index: ConnectorIndex, from_: FromField) -> list[Connector]:
    pairs = [claimed(index, domain, HEADER_FROM) for domain in from_.domains]
    return [connector for connector in pairs if connector is not None]


def stands_in(index: ConnectorIndex, connector: Connector, facts: AuthenticationFacts, author: str) -> bool:
    """Whether the partner's own aligned signature stands in for the contract (`header_from: dkim`).

    For mail that a list or a forwarder brings: the peer cannot prove to be the partner, the author's signature can.
    """
    return connector.inbound.header_from == "dkim" and any(
        outcome.result is AuthResult.PASS
        and not outcome.testing
        and (not outcome.key_bits or outcome.key_bits >= connector.inbound.authentication.min_rsa_bits)
        and aligned(index, connector, outcome.domain, author)
        for outcome in facts.dkim
    )


def true_source(
    trusted: tuple[Network, ...], address: IPv4Address | IPv6Address, helo: str, hops: tuple[TracedHop, ...]
) -> tuple[IPv4Address | IPv6Address, str]:
    """The latest host outside `trusted` networks, with the name it gave itself; the peer, if it is outside already.

    Our own gateway wrote the Received fields that are followed, one after the other; the first that cannot be read
    ends the search, and the last host known counts.
    """
    for hop in hops:
        if not any(address in network for network in trusted) or hop.address is None:
            break
        address, helo = hop.address, hop.helo
    return address, helo


def accept_for_author(
    index: ConnectorIndex, refusal: Decision, facts: AuthenticationFacts, from_: FromField
) -> Decision:
    """The header From's refusal, or an accept where the partner's own signature stands in for its contract."""
    connector = index.configuration.connectors.get(refusal.connector)
    author = from_.domains[0] if len(from_.domains) == 1 and not from_.ambiguous else ""
    if connector is None or not author or not stands_in(index, connector, facts, author):
        return refusal
    why = Reason(Word.AUTHOR_SIGNATURE, f"the signature of {author} stands in: {refusal.reasons[0]}")
    return Decision(Verdict.ACCEPT, connector.name, connector.mode, None, (why,))


_STRICTEST = (Verdict.REFUSE, Verdict.DEFER, Verdict.HOLD)


def judge_all(
    index: ConnectorIndex,
    judged: Sequence[tuple[Connector, AuthenticationFacts]],
    from_: FromField,
    accepted: Decision,
) -> Decision:
    """Several connectors may be concerned by one message; the strictest decision of those that enforce counts.

    `judged` has each connector with the results of SPF, DKIM, DMARC and ARC as it sees them. `accepted` is the decision
    so far, and the answer if no connector objects. Connectors in audit mode decide nothing: the first that would have
    refused is told in `Decision.would`.
    """
    decisions = [judge_authentication(index, connector, facts, from_) for connector, facts in judged]
    in_force = [decision for decision in decisions if decision.mode != "audit"]
    for verdict in _STRICTEST:
        for decision in in_force:
            if decision.verdict == verdict:
                return decision
    would = next((decision for decision in decisions if not decision.accepted), None)
    if would is not None:
        enforced = replace(would, mode="enforce")
        return replace(accepted, connector=would.connector, mode="audit", would=enforced)
    reasons = tuple(reason for decision in in_force for reason in decision.reasons)
    return replace(accepted, reasons=accepted.reasons + reasons) if reasons else accepted
