"""Where a recipient's mail goes: which connector, which hosts, in which order."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_address
from itertools import groupby
from typing import Any

from mta.contract.configuration import Configuration
from mta.contract.connectors import DEFAULT, Connector
from mta.contract.domains import Domain
from mta.contract.index import ConnectorIndex
from mta.contract.outbound import Outbound, OutboundTls
from mta.contract.values import HostPort
from mta.model.address import Mailbox
from mta.model.attempt import Failure, Scope
from mta.model.frozen import frozen
from mta.model.reply import Reply
from mta.model.tls import TlsLevel
from mta.model.word import Word
from mta.ports import DnsStatus, MxAnswer, MxRecord
from mta.rfc.nullmx.check import is_null_mx

_HOST = re.compile(r"(?=.{1,253}\Z)(?:(?!-)[a-z0-9_-]{1,63}(?<!-)\.)*(?!-)[a-z0-9_-]{1,63}(?<!-)")


@frozen
class Route:
    """The outbound connector of one recipient, and the domain of ours whose hosts take it (None: not our domain).

    `connector` is as it is in force (`in_force`), and `would` what the `outbound` of one in audit mode would have been.
    """

    connector: Connector
    own: Domain | None = None
    would: Outbound | None = None


def choose(index: ConnectorIndex, recipient: Mailbox) -> Route:
    """A domain of ours goes by its own connector, others by the connector with the longest match, else `default`."""
    configuration = index.configuration
    own = index.our_domain(recipient.ascii_domain)
    if own is not None:
        chosen = configuration.connectors[own.connector]
    else:
        chosen = index.claim(recipient.ascii_domain) or configuration.default
    connector = in_force(configuration, chosen)
    return Route(connector, own, None if connector is chosen else chosen.outbound)


def in_force(configuration: Configuration, connector: Connector) -> Connector:
    """The connector as delivery must follow it.

    Outbound `audit` sends where the contract says and shows the host what the contract says, a password only where that
    would be shown (pipeline/hop.py). What the host must prove, and what becomes of the content, is `default`'s.
    """
    if connector.outbound_mode != "audit" or connector.name == DEFAULT or not connector.own_outbound:
        return connector
    usual, own = configuration.default.outbound, connector.outbound
    spared = replace(
        usual,
        hosts=own.hosts,
        port=own.port,
        client_certificate=None if own.broken else own.client_certificate,
        auth=own.auth,
        tls=_spared(usual.tls, own.tls),
        audited=own,
    )
    return replace(connector, outbound=spared)


def _spared(usual: OutboundTls, own: OutboundTls) -> OutboundTls:
    """An audit refuses nothing that the contract would let pass, and lets nothing pass that everyone must fulfil.

    Where `default` demands a verified host, a contract that does so, too, has said whose names and CAs count here.
    """
    if own.level >= usual.level >= TlsLevel.VERIFIED or own.level < usual.level:
        return own
    if usual.level is TlsLevel.NONE:
        return replace(usual, level=min(own.level, TlsLevel.OPPORTUNISTIC))  # without TLS there were nothing to judge
    return usual


def after_reload(configuration: Configuration, connector_name: str) -> Connector | None:
    """The connector a queued recipient was given, as it is in force now. None: it vanished, its mail is held."""
    connector = configuration.connectors.get(connector_name)
    return in_force(configuration, connector) if connector else None


def connector_now(configuration: Configuration, stored: str, current: Connector) -> Connector | None:
    """The connector of an attempt, `current` being today's choice: mail never slides from a partner to `default`."""
    connector = after_reload(configuration, stored)
    if connector is None:
        return None  # it vanished in a reload: the mail is held
    return connector if current.name == DEFAULT else current


@dataclass(frozen=True, slots=True)
class Destination:
    """What recipients of one connector must share to share a transaction.

    `kind` is `hosts`, with the hosts in the order to try them, or `mx`, with the domain (A-labels) to look up.
    """

    kind: str
    name: str
    hosts: tuple[HostPort, ...] = ()

    def __hash__(self) -> int:
        """Of the name, in which the hosts stand as well."""
        return hash(self.name)


def destination(outbound: Outbound, own: Domain | None, recipient_domain: str) -> Destination:
    """Our own domain's hosts, else the connector's, else the MX of the recipient's domain or its address literal."""
    hosts = own.deliver_to if own else outbound.hosts
    if hosts:
        return _named(hosts)
    if literal := _literal(recipient_domain):
        return Destination("hosts", recipient_domain, (HostPort(literal, outbound.port),))
    return Destination("mx", recipient_domain)


@lru_cache(maxsize=4096)
def _named(hosts: tuple[HostPort, ...]) -> Destination:
    return Destination("hosts", ",".join(str(host) for host in hosts), hosts)


def _literal(domain: str) -> str:
    """The IP address of an address literal (RFC 5321 §4.1.3), or empty."""
    if not (domain.startswith("[") and domain.endswith("]")):
        return ""
    text = domain[1:-1].removeprefix("ipv6:")
    return text if is_address(text) else ""


@lru_cache(maxsize=4096)
def is_address(text: str) -> bool:
    """Whether this is an IP address rather than a name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def order_mx(
    answer: MxAnswer,
    domain: str,
    own_names: frozenset[str],
    shuffle: Callable[[list[Any]], None],
    port: int,
) -> tuple[HostPort, ...] | Failure:
    """The hosts of a domain in the order to try them (RFC 5321 §5.1), or why there are none.

    `shuffle` mixes hosts of equal preference in place. `own_names` (lower case) are the names by which we know
    ourselves: such a host, and all that are not better, would bring the mail back to us.
    """
    records = answer.records
    match answer.status:
        case DnsStatus.TEMPORARY:
            return _failure(Word.DNS, f"MX of {domain}: {answer.detail}", Reply(451, "4.4.3", ("Name server failure",)))
        case DnsStatus.NXDOMAIN:
            return _failure(Word.NO_SUCH_DOMAIN, f"{domain} does not exist", Reply(550, "5.1.2", ("Domain not found",)))
        case DnsStatus.NODATA:
            records = ()
    if not records:
        records = (MxRecord(0, domain),)  # RFC 5321 §5.1: without MX the domain itself, as if of preference 0
    if is_null_mx(records):  # RFC 7505 §3: this domain takes no mail
        return _failure(
            Word.NULL_MX, f"{domain} takes no mail", Reply(556, "5.1.10", ("Recipient domain takes no mail",))
        )
    usable = [record for record in records if _HOST.fullmatch(record.host) and not is_address(record.host)]
    if not usable:  # RFC 5321 §5.1: none usable MUST be reported as an error
        names = ", ".join(repr(record.host) for record in records)
        return _failure(Word.NO_USABLE_MX, f"{domain} names {names}", Reply(550, "5.4.4", ("No usable mail host",)))
    better = _better_than_us(usable, own_names)
    if not better:
        text = f"the best MX of {domain} is ourselves, but it is none of our domains"
        return _failure(Word.LOOP, text, Reply(554, "5.4.6", ("Routing loop detected",)))
    return tuple(HostPort(host, port) for host in _shuffled(better, shuffle))


def addresses_to_try(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """The two addresses of a host that one attempt asks: one of each family where there are both.

    A host with several IPv6 addresses must not be out of reach for a machine that has IPv4 alone.
    """
    six = tuple(address for address in addresses if ":" in address)
    four = tuple(address for address in addresses if ":" not in address)
    return (six[0], four[0]) if six and four else addresses[:2]


def _better_than_us(records: Iterable[MxRecord], own_names: frozenset[str]) -> list[MxRecord]:
    # RFC 5321 §5.1: ourselves and every host of the same or a worse preference are discarded.
    ours = min((record.preference for record in records if record.host in own_names), default=None)
    return [record for record in records if ours is None or record.preference < ours]


def _shuffled(records: list[MxRecord], shuffle: Callable[[list[Any]], None]) -> Iterable[str]:
    """Host names, best preference first, equal ones mixed (RFC 5321 §5.1), each once."""
    hosts: dict[str, None] = {}
    records = sorted(records, key=lambda record: (record.preference, record.host))
    for _, equals in groupby(records, key=lambda record: record.preference):
        names = [record.host for record in equals]
        shuffle(names)
        hosts.update(dict.fromkeys(names))
    return hosts


def _failure(word: Word, story: str, reply: Reply) -> Failure:
    return Failure(Scope.DESTINATION, word, story, reply, permanent=reply.permanent)
