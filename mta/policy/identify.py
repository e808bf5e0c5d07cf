"""Who the peer is. Identity is proven, by certificate or network, never claimed by what the peer says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mta.contract.connectors import DEFAULT, Connector
from mta.contract.inbound import ClientCertificate, Inbound
from mta.contract.index import ConnectorIndex
from mta.model.session import SessionFacts
from mta.model.word import Word
from mta.policy.certificate import CertificateDemand, describe, judge_certificate
from mta.policy.decision import Loser, Reason
from mta.policy.refusal import UNKNOWN
from mta.ports import ChainVerifier


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the peer has proved to be, before it claims anything.

    Without proof the connector is `default` and `proven` is False. `audited` is a connector in audit mode that would
    have identified the peer had it been enforced: it changes nothing, but decisions tell what it would have changed.
    """

    connector: Connector
    proven: bool = False
    reasons: tuple[Reason, ...] = ()
    losers: tuple[Loser, ...] = ()
    audited: Connector | None = None
    undecided: Reason | None = None  # a connector would have identified the peer, but something cannot be told now

    @property
    def relays(self) -> bool:
        """Whether the peer may send to domains that are not ours."""
        return self.proven and self.connector.relay and not self.connector.audits

    @property
    def enforced(self) -> Identity:
        """The identity as it would be if connectors in audit mode were enforced."""
        if self.audited is not None:
            return Identity(replace(self.audited, mode="enforce"), True, losers=self.losers)
        if self.connector.audits:
            return replace(self, connector=replace(self.connector, mode="enforce"))
        return self


def session(index: ConnectorIndex, facts: SessionFacts, verifier: ChainVerifier, now: float) -> Identity:
    """Who the peer is without any claim: by certificate first, then by network, longest prefix first.

    A candidate must prove everything its `inbound` demands. To be asked again after STARTTLS.
    """
    losers: list[Loser] = []
    audited: Connector | None = None
    undecided: Reason | None = None
    for candidate in _candidates(index, facts):
        faults = judge_proof(candidate, facts, verifier, now)
        if faults:
            losers.append(Loser(candidate.name, str(faults[0])))
            if not candidate.audits and all(fault.word in UNKNOWN for fault in faults):
                undecided = undecided or faults[0]
        elif candidate.audits:
            audited = audited or candidate
            losers.append(Loser(candidate.name, "audit: proven, but a connector in audit mode changes nothing"))
        else:
            return Identity(candidate, True, (_proven(candidate, facts),), tuple(losers), audited)
    return Identity(index.configuration.default, losers=tuple(losers), audited=audited, undecided=undecided)


def _candidates(index: ConnectorIndex, facts: SessionFacts) -> Iterator[Connector]:
    leaf = facts.tls.leaf if facts.tls else None
    by_certificate = index.by_certificate(leaf) if leaf else ()
    names: set[str] = set()
    for connector in (*by_certificate, *index.by_network(facts.client_ip)):
        if connector.name not in names and can_identify(connector):
            names.add(connector.name)
            yield connector


def can_identify(connector: Connector) -> bool:
    """Whether a session can be this connector's without a claim: a partner's own domains must be claimed first."""
    within_reach = connector.relay or (connector.own_inbound and not connector.domains)
    return within_reach and connector.inbound.demands_proof and connector.name != DEFAULT


def _proven(connector: Connector, facts: SessionFacts) -> Reason:
    leaf = facts.tls.leaf if facts.tls else None
    shown = f" with certificate {leaf.subject}" if leaf and connector.inbound.tls.client_certificate else ""
    return Reason(Word.PROVEN, f"{facts.client_ip}{shown} has proved everything {connector.name} demands")


def judge_proof(connector: Connector, facts: SessionFacts, verifier: ChainVerifier, now: float) -> tuple[Reason, ...]:
    """Everything the connector's `inbound` demands and the peer has not proved; empty: all is proven.

    Words: `no-tls`, `tls-version`, those of policy/certificate.py, `network`. The order is the one in which a peer
    would mend them: TLS, certificate, network.
    """
    inbound = connector.inbound
    if inbound.broken:
        return _judge_broken(inbound, facts)
    return (*_judge_tls(inbound, facts), *_judge_identity(inbound, facts, verifier, now))


def _judge_broken(inbound: Inbound, facts: SessionFacts) -> tuple[Reason, ...]:
    """Of a contract whose files cannot be used nothing counts as proven; what is wrong without them lasts."""
    faults = tuple(_judge_tls(inbound, facts))
    if inbound.combine == "all":
        if inbound.tls.client_certificate and not (facts.tls and facts.tls.leaf):
            faults += (Reason(Word.NO_CERTIFICATE, "a client certificate is demanded, none was shown"),)
        faults += _judge_network(inbound, facts)
    return faults or (Reason(Word.CONTRACT_BROKEN, inbound.broken),)


def _judge_tls(inbound: Inbound, facts: SessionFacts) -> Iterator[Reason]:
    if not inbound.tls.required:
        return  # where clear is allowed an old TLS version is no fault
    wanted = inbound.tls.min_version
    if facts.tls is None:
        yield Reason(Word.NO_TLS, f"TLS {wanted} or newer is demanded, the session is in clear")
    elif version(facts.tls.version) < version(wanted):
        yield Reason(Word.TLS_VERSION, f"TLS {wanted} or newer is demanded, the session uses {facts.tls.version}")


def _judge_identity(inbound: Inbound, facts: SessionFacts, verifier: ChainVerifier, now: float) -> tuple[Reason, ...]:
    wanted = inbound.tls.client_certificate
    network = _judge_network(inbound, facts)
    if inbound.combine == "any" and inbound.networks and wanted:
        if not network:
            return ()
        certificate = judge_certificate(_demand(wanted), facts.tls, verifier, now)
        return (*certificate, *network) if certificate else ()
    certificate = judge_certificate(_demand(wanted), facts.tls, verifier, now) if wanted else ()
    return (*certificate, *network)


def _judge_network(inbound: Inbound, facts: SessionFacts) -> tuple[Reason, ...]:
    address = facts.client_ip
    if not inbound.networks or any(address in network for network in inbound.networks):
        return ()
    networks = ", ".join(str(network) for network in inbound.networks)
    return (Reason(Word.NETWORK, f"{address} is in none of {networks}"),)


def _demand(wanted: ClientCertificate) -> CertificateDemand:
    return CertificateDemand(wanted.names, wanted.ca, wanted.pins, wanted.eku == "client", wanted.revocation)


def demanded(inbound: Inbound) -> str:
    """What has to be proved, in words for the evidence."""
    tls = inbound.tls
    parts = [f"TLS {tls.min_version} or newer"] if tls.required else []
    proofs = [f"a certificate with {describe(_demand(tls.client_certificate))}"] if tls.client_certificate else []
    if inbound.networks:
        proofs.append("an address of its networks")  # which may be many: this is written with every message
    if proofs:
        parts.append((" or " if inbound.combine == "any" else " and ").join(proofs))
    return "; ".join(parts) or "nothing"


def version(text: str) -> tuple[int, ...]:
    """A TLS version (`1.2`) in a form that compares; what is not one is older than any."""
    parts = text.split(".")
    return tuple(int(part) for part in parts) if all(part.isascii() and part.isdigit() for part in parts) else ()
