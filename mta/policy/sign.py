"""Which DKIM keys sign a message as it leaves, and whether it is sealed with ARC."""

from __future__ import annotations

from dataclasses import dataclass

from mta.contract.configuration import Configuration
from mta.contract.connectors import Connector
from mta.contract.dkim import DkimKey, SealingKey
from mta.contract.index import ConnectorIndex
from mta.contract.server import Server
from mta.model.auth import AuthResult
from mta.model.author import FromField
from mta.model.evidence.message import Written, authentication_in
from mta.model.message import OUR_OWN, REPORT, QueuedMessage


def from_our_systems(configuration: Configuration, inbound: str) -> bool:
    """Whether mail that came by the connector `inbound` may be signed as its author: our own systems' and our own.

    Peers that were proven to use our senders count as well.

    A stranger who writes an address of ours into From must not be given our signature for it.
    """
    if inbound in OUR_OWN:
        return True
    connector = configuration.connectors.get(inbound)
    return connector is not None and (connector.relay or connector.inbound.allow_own_sender)


def service_of(message: QueuedMessage) -> str:
    """Which keys are for it: RFC 8460 §3 has a service of its own for TLS reports."""
    is_report = message.inbound == REPORT and Written.from_json(message.evidence).report == "tls"
    return "tlsrpt" if is_report else "email"


def signing_keys(
    index: ConnectorIndex, connector: Connector, author: FromField, received: float, service: str = "email"
) -> tuple[str, tuple[DkimKey, ...]]:
    """The domain of ours that signs for the author, with its keys in force when the message was `received`.

    The moment of receipt decides, not that of the attempt: every attempt then sends the same bytes. Only a single,
    unambiguous author of one of our own domains is signed for, and a connector may switch it off. Without keys for a
    service of its own a message is signed as mail is.
    """
    if connector.outbound.dkim == "off" or author.ambiguous or len(author.authors) != 1:
        return "", ()
    domain = index.our_domain(author.authors[0].ascii_domain)
    if domain is None:
        return "", ()
    in_force = [key for key in domain.dkim if key.since <= received and not 0 < key.until <= received]
    fitting = [key for key in in_force if key.service == service]
    if not fitting:
        fitting = [key for key in in_force if key.service == "email"]
    latest: dict[str, DkimKey] = {}
    for key in sorted(fitting, key=lambda key: key.since):
        latest[key.algorithm] = key  # of several keys of one kind the newest signs
    return domain.name, tuple(latest.values())


@dataclass(frozen=True, slots=True)
class Seal:
    """A seal that is wanted: by whom, and what the chain was worth when the message came."""

    by: SealingKey
    chain: AuthResult


def seal_wanted(server: Server, connector: Connector, message: QueuedMessage) -> Seal | None:
    """Whether `message` is sealed on its way out: where the connector says so, and it was judged on arrival.

    A seal testifies to what was found on arrival (RFC 8617 §5.1); mail of our own systems, and our reports, which
    nobody judged, bear none. Nor does a message whose chain could not be judged then: DNS did not answer.
    """
    if server.arc is None or connector.outbound.arc != "seal":
        return None
    authentication = authentication_in(message.evidence)
    arc = authentication.facts.arc if authentication else None
    if arc is None or arc.result is AuthResult.TEMPERROR:
        return None
    return Seal(server.arc, arc.result)
