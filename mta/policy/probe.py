"""What is to be looked at beforehand, what was found there, and what of it must be told to a person.

Pure: `pipeline/probe.py` does the looking, by the functions that deliver mail.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from mta.contract.configuration import Configuration
from mta.contract.connectors import DEFAULT, Connector
from mta.contract.index import ConnectorIndex
from mta.model.attempt import Failure, HostAttempt, Scope
from mta.model.seen import Seen
from mta.model.tls import CertificateFacts
from mta.policy.route import Destination, choose, destination
from mta.rfc.smtp.address import parse_mailbox

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Target:
    """One way that mail takes: under `connector`, as it would be enforced, to the hosts of `destination`.

    `domain` is one of the recipients' domains that go there.
    """

    connector: Connector
    destination: Destination
    domain: str


def targets(index: ConnectorIndex, word: str) -> tuple[Target, ...]:
    """The ways of a connector by its name, or of a recipient domain; empty where there is none to look at."""
    connector = index.configuration.connectors.get(word)
    return tuple(_of_connector(index.configuration, connector)) if connector else (target_of(index, word),)


def all_targets(index: ConnectorIndex) -> tuple[Target, ...]:
    """Those of every connector, but of `default` only what our own domains use: everyone else is no partner."""
    configuration = index.configuration
    return tuple(
        way for name in configuration.connectors for way in _of_connector(configuration, configuration.connectors[name])
    )


def target_of(index: ConnectorIndex, domain: str) -> Target:
    """The way of mail to a domain (A-labels)."""
    route = choose(index, parse_mailbox(f"postmaster@{domain}"))
    outbound = route.would or route.connector.outbound
    return Target(replace(route.connector, outbound=outbound), destination(outbound, route.own, domain), domain)


def _of_connector(configuration: Configuration, connector: Connector) -> Iterator[Target]:
    outbound = connector.outbound
    exact = [domain for domain in connector.domains if not domain.startswith("*.")]
    if connector.own_outbound and connector.name != DEFAULT:
        if outbound.hosts:
            domain = (exact or [name.removeprefix("*.") for name in connector.domains] or [""])[0]
            yield Target(connector, destination(outbound, None, domain), domain)
        else:
            yield from (Target(connector, destination(outbound, None, domain), domain) for domain in exact)
    for own in configuration.domains.values():
        if own.connector == connector.name:
            yield Target(connector, destination(outbound, own, own.name), own.name)


@dataclass(frozen=True, slots=True)
class Look:
    """What one host showed. `expires`: the certificate of its chain that ends first, with the days it has left."""

    attempt: HostAttempt
    extensions: tuple[str, ...] = ()
    expires: CertificateFacts | None = None
    days_left: int = 0

    @property
    def satisfied(self) -> bool:
        """Whether MAIL FROM could have been said."""
        return self.attempt.failure is None


def look(attempt: HostAttempt, extensions: tuple[str, ...], now: float) -> Look:
    """The facts of one host. A root that is sent along counts for nothing: nobody needs it."""
    chain = attempt.tls.chain if attempt.tls else ()
    counting = [each for depth, each in enumerate(chain) if depth == 0 or each.subject != each.issuer]
    first = min(counting, key=lambda each: each.not_after, default=None)
    left = int((first.not_after - now) // DAY) if first else 0
    return Look(attempt, extensions, first, left)


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something a person must hear of: a stable word, whose it is, and the whole story."""

    word: str
    where: str
    text: str


EXPIRES, ISSUER, KEY, FAILED, OWN = (
    "partner-certificate-expires",
    "partner-issuer-changed",
    "partner-key-changed",
    "partner-not-reachable",
    "own-certificate-expires",
)


GOOD, SOON, SPARE, BAD = "good", "soon", "spare", "bad"


def verdicts(looks: Sequence[Look], days: int) -> tuple[str, ...]:
    """Of each look: mail would go; it would, but not in `days` any more; it would by another address; it would wait.

    A host is as good as the best of its addresses that answers: where there is no IPv6, mail goes by IPv4. An address
    that answers and does not satisfy the contract is bad whatever the others do.
    """
    reached = {(look.attempt.host, look.attempt.port) for look in looks if look.satisfied}
    return tuple(_verdict(look, (look.attempt.host, look.attempt.port) in reached, days) for look in looks)


def _verdict(look: Look, reached: bool, days: int) -> str:
    failure = look.attempt.failure
    if failure is not None:
        return SPARE if reached and failure.scope is Scope.SESSION else BAD
    return SOON if look.expires is not None and look.days_left < days else GOOD


def together(before: Seen | None, looks: Sequence[Look]) -> Look:
    """The addresses of one host as one look: its certificate is the one seen `before`, if any address shows that.

    A host may have several at a time; only when none of them is the old one it has another.
    """
    shown = [look for look in looks if look.attempt.tls and look.attempt.tls.leaf]
    chosen = max(shown, key=lambda look: _familiar(before, look), default=looks[0])
    bad = (look for look, word in zip(looks, verdicts(looks, 0), strict=True) if word == BAD)
    failure = next((look.attempt.failure for look in bad), None)
    first = min((look for look in looks if look.expires), key=lambda look: look.days_left, default=chosen)
    attempt = replace(chosen.attempt, failure=failure)
    return replace(chosen, attempt=attempt, expires=first.expires, days_left=first.days_left)


def _familiar(before: Seen | None, look: Look) -> tuple[bool, bool]:
    leaf = look.attempt.tls.leaf if look.attempt.tls else None
    if before is None or leaf is None:
        return (False, False)
    return (leaf.sha256 == before.sha256, leaf.spki_sha256 == before.spki_sha256)


def remember(before: Seen | None, latest: Look, now: float) -> Seen:
    """What is to be kept of a look; the certificate last seen stays where none was shown."""
    failure = latest.attempt.failure
    word, reason = (failure.word, failure.reason) if failure else ("", "")
    kept = replace(before or Seen(), at=now, ok=failure is None, word=word, reason=reason)
    leaf = latest.attempt.tls.leaf if latest.attempt.tls else None
    if leaf is None:
        return kept
    return replace(
        kept,
        subject=leaf.subject,
        issuer=leaf.issuer,
        names=(*leaf.dns_names, *leaf.ip_addresses),
        sha256=leaf.sha256,
        spki_sha256=leaf.spki_sha256,
        not_after=latest.expires.not_after if latest.expires else leaf.not_after,
    )


def alarms(where: str, before: Seen | None, after: Seen, now: float, warn: float) -> tuple[Seen, tuple[Alarm, ...]]:
    """What is new since `before` and must be told; the memory with what has been told then.

    A condition that lasts is told once, and again only after it was over.
    """
    conditions = before.told if before else ()
    lasting = {f"{word}:{about}": Alarm(word, where, text) for word, about, text in _conditions(after, now, warn)}
    fresh = [alarm for key, alarm in lasting.items() if key not in conditions]
    if before and before.sha256 and before.sha256 != after.sha256:
        fresh.extend(Alarm(word, where, text) for word, text in _changes(before, after))
    return replace(after, told=tuple(lasting)), tuple(fresh)


def unreachable(failure: Failure) -> Look:
    """What is remembered of a destination without a host that could be asked."""
    return Look(HostAttempt("", 0, failure=failure))


def own_alarms(
    told: Iterable[str], ends: Iterable[tuple[str, str, str, float]], now: float, warn: float
) -> tuple[tuple[str, ...], tuple[Alarm, ...]]:
    """What of our own files ends soon: the keys of all that do, and alarms for those that were not `told` yet.

    `ends` are a key, where it is named, what it is, and when it ends. A revocation list is meant to end soon and be
    followed by the next, so it counts when it has ended.
    """
    before, lasting, fresh = set(told), [], []
    for key, where, what, not_after in ends:
        if not_after - now >= (0 if what.endswith("(crl)") else warn):
            continue
        lasting.append(key)
        if key not in before:
            days = int((not_after - now) // DAY)
            text = f"{what} ends in {days} days" if days >= 0 else f"{what} has ended"
            fresh.append(Alarm(OWN, where, text))
            before.add(key)
    return tuple(dict.fromkeys(lasting)), tuple(fresh)


def _conditions(host: Seen, now: float, warn: float) -> Iterator[tuple[str, str, str]]:
    """The alarm's word, what it is about, and the story."""
    if not host.ok:
        yield FAILED, host.word, f"mail would wait: {host.reason}"
    if host.not_after and host.not_after - now < warn:
        days = int((host.not_after - now) // DAY)
        text = f"{host.subject} of {host.issuer} expires in {days} days" if days >= 0 else f"{host.subject} has expired"
        yield EXPIRES, host.sha256, text


def _changes(before: Seen, after: Seen) -> Iterator[tuple[str, str]]:
    if before.issuer != after.issuer:
        yield ISSUER, f"{after.subject} is issued by {after.issuer} now, it was by {before.issuer}"
    if before.spki_sha256 != after.spki_sha256:
        text = (
            f"{after.subject} has the key spki-sha256:{after.spki_sha256} now, it was spki-sha256:{before.spki_sha256}"
        )
        yield KEY, text
