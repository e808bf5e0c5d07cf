"""Which ways are looked at, and of what a person hears once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mta.contract.configuration import Configuration
from mta.contract.connectors import Connector
from mta.contract.index import ConnectorIndex
from mta.contract.outbound import Outbound, OutboundTls
from mta.contract.values import HostPort
from mta.model.attempt import Failure, HostAttempt, Scope
from mta.model.reply import Reply
from mta.model.seen import Seen
from mta.model.tls import TlsLevel
from mta.model.word import Word
from mta.policy import probe as policy
from mta.policy.probe import (
    BAD,
    GOOD,
    SOON,
    SPARE,
    alarms,
    all_targets,
    look,
    own_alarms,
    remember,
    targets,
    together,
    unreachable,
    verdicts,
)
from tests.unit.policy.world import CONTOSO, DAY, NOW, SERVER, certificate, tls

HOSTS = (HostPort("mx1.fabrikam.example", 25),)
FIXED = Connector("fixed", domains=("fixed.example", "*.fixed.example"), outbound=Outbound(hosts=HOSTS))
BY_MX = Connector("by-mx", domains=("a.example", "*.b.example", "c.example"), outbound=Outbound())
AUDITED = Connector("audited", "audit", ("audited.example",), outbound=Outbound(tls=OutboundTls(TlsLevel.VERIFIED)))
INBOUND = Connector("inbound-only", domains=("in.example",), own_outbound=False)
INTERNAL = Connector("internal", outbound=Outbound(tls=OutboundTls(TlsLevel.NONE)), own_outbound=True)
DEFAULT = Connector("default")
KNOWN = (FIXED, BY_MX, AUDITED, INBOUND, INTERNAL, DEFAULT)
INDEX = ConnectorIndex(Configuration(SERVER, {"contoso.example": CONTOSO}, {c.name: c for c in KNOWN}))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("fixed", [("hosts", "mx1.fabrikam.example:25", "fixed.example")]),
        ("by-mx", [("mx", "a.example", "a.example"), ("mx", "c.example", "c.example")]),
        ("inbound-only", []),
        ("default", []),
        ("audited", [("mx", "audited.example", "audited.example")]),
        ("internal", [("hosts", "mail.contoso.example:25", "contoso.example")]),
        ("x.b.example", [("mx", "x.b.example", "x.b.example")]),
        ("nobody.example", [("mx", "nobody.example", "nobody.example")]),
        ("contoso.example", [("hosts", "mail.contoso.example:25", "contoso.example")]),
    ],
)
def test_a_name_leads_to_the_ways_of_its_mail(word, expected):
    found = targets(INDEX, word)
    assert [(way.destination.kind, way.destination.name, way.domain) for way in found] == expected


def test_an_audited_contract_is_looked_at_as_it_would_be_enforced():
    for word in ("audited", "audited.example"):
        [way] = targets(INDEX, word)
        assert way.connector.outbound.tls.level is TlsLevel.VERIFIED


def test_all_are_all_partners_and_our_own_hosts():
    names = [way.connector.name for way in all_targets(INDEX)]
    assert names == ["fixed", "by-mx", "by-mx", "audited", "internal"]


FAILURE = Failure(Scope.HOST, Word.CERTIFICATE_NAME, "expected a, seen b", Reply(450), permanent=False)
LEAF = certificate(not_after=NOW + 90.5 * DAY)


def attempt(leaf=LEAF, failure=None, chain=()) -> HostAttempt:
    facts = replace(tls(leaf), chain=(leaf, *chain)) if leaf else None
    return HostAttempt("mx1.fabrikam.example", 25, "192.0.2.1", NOW, tls=facts, failure=failure)


def test_the_certificate_that_ends_first_counts_but_a_root_that_nobody_needs():
    intermediate = certificate(subject="CN=CA", issuer="CN=Root", not_after=NOW + 10.5 * DAY)
    root = certificate(subject="CN=Root", issuer="CN=Root", not_after=NOW + DAY)
    found = look(attempt(chain=(intermediate, root)), (), NOW)
    assert (found.expires, found.days_left) == (intermediate, 10)
    alone = certificate(subject="CN=self", issuer="CN=self", not_after=NOW + 3.5 * DAY)
    assert look(attempt(alone), (), NOW).days_left == 3
    assert look(attempt(None, FAILURE), (), NOW).expires is None


def told(before: Seen | None, tried: HostAttempt, now: float = NOW) -> tuple[Seen, list[str]]:
    after, found = alarms("fabrikam", before, remember(before, look(tried, (), now), now), now, 14 * DAY)
    return after, [alarm.word for alarm in found]


def test_a_condition_is_told_once_and_again_only_after_it_was_over():
    seen, words = told(None, attempt())
    assert words == []
    story = [
        (attempt(failure=FAILURE), [policy.FAILED]),
        (attempt(failure=FAILURE), []),
        (attempt(failure=replace(FAILURE, word=Word.CONNECT, story="nobody")), [policy.FAILED]),
        (attempt(), []),
        (attempt(failure=FAILURE), [policy.FAILED]),
    ]
    for tried, expected in story:
        seen, words = told(seen, tried)
        assert words == expected


def test_an_end_is_told_in_time_and_the_renewed_certificate_ends_it():
    seen, _ = told(None, attempt())
    seen, words = told(seen, attempt(), NOW + 77 * DAY)
    assert words == [policy.EXPIRES]
    seen, words = told(seen, attempt(), NOW + 78 * DAY)
    assert words == []
    renewed = certificate(sha256="bb", not_after=NOW + 200 * DAY)
    seen, words = told(seen, attempt(renewed), NOW + 79 * DAY)
    assert (words, seen.told) == ([], ())


@pytest.mark.parametrize(
    ("fresh", "expected"),
    [
        ({"sha256": "bb"}, []),  # renewed with the same key by the same authority
        ({"sha256": "bb", "spki_sha256": "NEW"}, [policy.KEY]),
        ({"sha256": "bb", "issuer": "CN=Other"}, [policy.ISSUER]),
        ({"sha256": "bb", "issuer": "CN=Other", "spki_sha256": "NEW"}, [policy.ISSUER, policy.KEY]),
    ],
)
def test_another_key_or_issuer_is_told_once(fresh, expected):
    seen, _ = told(None, attempt())
    changed = attempt(replace(LEAF, **fresh))
    seen, words = told(seen, changed)
    assert words == expected
    assert told(seen, changed)[1] == []


def test_a_host_that_shows_nothing_today_is_compared_with_what_it_showed_before():
    seen, _ = told(None, attempt())
    seen, _ = told(seen, attempt(None, FAILURE))
    assert seen.spki_sha256 == LEAF.spki_sha256
    assert told(seen, attempt(replace(LEAF, sha256="bb", spki_sha256="NEW")))[1] == [policy.KEY]


def test_a_destination_without_hosts_is_told_as_one_that_cannot_be_reached():
    failure = Failure(Scope.DESTINATION, Word.DNS, "no answer", Reply(450), permanent=False)
    after, found = alarms("x", None, remember(None, unreachable(failure), NOW), NOW, 14 * DAY)
    assert (after.ok, [alarm.word for alarm in found]) == (False, [policy.FAILED])


ENDS = [
    ("aa", "server.certificate", "CN=mx (own)", NOW + 10.5 * DAY),
    ("bb", "connectors.a.outbound.tls.ca", "CN=Root (ca)", NOW + 100 * DAY),
    ("cc", "connectors.a.outbound.tls.crl", "CN=Root (crl)", NOW + 2 * DAY),
    ("dd", "connectors.b.outbound.tls.crl", "CN=Old (crl)", NOW - DAY),
]


def test_our_own_are_told_once_each_and_lists_only_when_they_have_ended():
    told, found = own_alarms((), ENDS, NOW, 14 * DAY)
    assert [(alarm.word, alarm.where, alarm.text) for alarm in found] == [
        (policy.OWN, "server.certificate", "CN=mx (own) ends in 10 days"),
        (policy.OWN, "connectors.b.outbound.tls.crl", "CN=Old (crl) has ended"),
    ]
    assert own_alarms(told, ENDS, NOW, 14 * DAY) == (told, ())
    assert own_alarms(told, ENDS[1:3], NOW, 14 * DAY) == ((), ())  # both were renewed
    assert len(own_alarms((), [ENDS[0], ENDS[0]], NOW, 14 * DAY)[1]) == 1


GONE = Failure(Scope.SESSION, Word.CONNECT, "no route to host", Reply(450), permanent=False)


def at(host: str, failure: Failure | None = None, leaf=LEAF):
    return look(replace(attempt(leaf if failure is not GONE else None, failure), host=host), (), NOW)


@pytest.mark.parametrize(
    ("looks", "expected"),
    [
        ([at("a"), at("b")], (GOOD, GOOD)),
        ([at("a", GONE), at("a")], (SPARE, GOOD)),  # no IPv6 here
        ([at("a", GONE), at("a", GONE)], (BAD, BAD)),
        ([at("a", GONE), at("b")], (BAD, GOOD)),
        ([at("a", FAILURE), at("a")], (BAD, GOOD)),  # one of two behind a name has the wrong certificate
        ([at("a", leaf=certificate(not_after=NOW + 13.5 * DAY)), at("b", FAILURE)], (SOON, BAD)),
    ],
)
def test_a_host_is_as_good_as_the_best_address_that_answers(looks, expected):
    assert verdicts(looks, 14) == expected


def test_a_host_with_two_certificates_has_changed_only_when_the_old_one_is_gone():
    other = replace(LEAF, sha256="bb", spki_sha256="OTHER", not_after=NOW + 5.5 * DAY)
    seen, _ = told(None, attempt())
    both = together(seen, [at("a", leaf=other), at("a")])
    assert (both.attempt.tls.leaf, both.days_left, both.expires) == (LEAF, 5, other)
    alone = together(seen, [at("a", leaf=other), at("a", GONE)])
    assert (alone.attempt.tls.leaf, alone.attempt.failure) == (other, None)
    assert together(seen, [at("a", GONE), at("a", GONE)]).attempt.failure is GONE
    assert together(None, [at("a", leaf=other), at("a", FAILURE)]).attempt.failure is FAILURE
