"""What a hop must prove, and whether it did: *TLS levels* as tables."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.contract.outbound import Outbound, OutboundTls
from mta.contract.values import HostPort
from mta.model.attempt import Failure, Scope
from mta.model.reply import Reply
from mta.model.tls import TlsLevel
from mta.policy.certificate import SYSTEM
from mta.policy.deliver import (
    TlsRequirement,
    judge_audit,
    judge_offer,
    judge_tls,
    may_authenticate,
    requirement,
    strictest,
    unusable,
)
from mta.policy.route import Destination
from tests.unit.policy.test_identify import LEAVES
from tests.unit.policy.world import (
    CERTIFICATE,
    DAY,
    FABRIKAM_CA,
    GOOD_PIN,
    NOW,
    OTHER_CA,
    OTHER_PIN,
    SERVER_AUTH,
    VERIFIER,
    certificate,
    tls,
)

NONE, OPPORTUNISTIC, ENCRYPTED, VERIFIED, PINNED = TlsLevel
MX = Destination("mx", "fabrikam.example")
HOST = HostPort("mx1.fabrikam.example", 25)
HOSTS = Destination("hosts", "mx1.fabrikam.example:25", (HOST,))
ADDRESS = HostPort("192.0.2.1", 25)
NAME = ("mail.fabrikam.example",)
UNDER = ("fabrikam.example", ".fabrikam.example")


def needs(destination=MX, host=HOST, **stated) -> TlsRequirement:
    return requirement(Outbound(tls=OutboundTls(**stated)), destination, host)


REQUIREMENTS = [
    # what is stated, for which destination; then names, anchors, pins and SNI of the requirement
    ("encrypted judges no certificate", {"level": ENCRYPTED}, MX, HOST, ((), None, (), HOST.host)),
    ("opportunistic", {"level": OPPORTUNISTIC}, MX, HOST, ((), None, (), HOST.host)),
    ("verified by MX expects the domain or a name under it", {"level": VERIFIED}, MX, HOST,
        (UNDER, SYSTEM, (), HOST.host)),
    ("verified by hosts expects the configured host", {"level": VERIFIED}, HOSTS, HOST,
        ((HOST.host,), SYSTEM, (), HOST.host)),
    ("verified by a configured address", {"level": VERIFIED}, HOSTS, ADDRESS, (("192.0.2.1",), SYSTEM, (), "")),
    ("stated names replace derived ones", {"level": VERIFIED, "names": ("*.fabrikam.example",)}, MX, HOST,
        (("*.fabrikam.example",), SYSTEM, (), HOST.host)),
    ("a stated CA", {"level": VERIFIED, "ca": FABRIKAM_CA}, MX, HOST, (UNDER, FABRIKAM_CA, (), HOST.host)),
    ("one plain name is asked for", {"level": VERIFIED, "names": NAME}, MX, HOST, (NAME, SYSTEM, (), NAME[0])),
    ("of two names the host's is asked for", {"level": VERIFIED, "names": (*NAME, "b.example")}, MX, HOST,
        ((*NAME, "b.example"), SYSTEM, (), HOST.host)),
    ("pinned expects the pin alone", {"level": PINNED, "pins": (GOOD_PIN,)}, MX, HOST,
        ((), None, (GOOD_PIN,), HOST.host)),
    ("pinned with a CA", {"level": PINNED, "pins": (GOOD_PIN,), "ca": FABRIKAM_CA}, MX, HOST,
        ((), FABRIKAM_CA, (GOOD_PIN,), HOST.host)),
    ("pinned with names", {"level": PINNED, "pins": (GOOD_PIN,), "names": NAME}, MX, HOST,
        (NAME, SYSTEM, (GOOD_PIN,), NAME[0])),
]  # fmt: skip


@pytest.mark.parametrize(
    ("stated", "destination", "host", "expected"), [r[1:] for r in REQUIREMENTS], ids=[r[0] for r in REQUIREMENTS]
)
def test_a_requirement(stated, destination, host, expected):
    needed = needs(destination, host, **stated)
    assert needed.level is stated["level"]
    assert (needed.names, needed.anchors, needed.pins, needed.sni) == expected
    assert isinstance(hash(needed), int)


@pytest.mark.parametrize(
    ("needed", "word"),
    [
        (needs(level=ENCRYPTED), "encrypted"),
        (needs(level=VERIFIED, names=NAME), "verified:mail.fabrikam.example"),
        (needs(level=PINNED, pins=(GOOD_PIN,)), "pinned:spki-sha256:KEY-ONE"),
    ],
)
def test_a_requirement_in_a_word(needed, word):
    assert needed.word == word


# --- before TLS ------------------------------------------------------------------------------------------------------

REFUSED, READY = Reply(454, "4.7.0", ("TLS not available",)), Reply(220)
OFFERS = [
    *[(level, offered, reply, None) for level in (NONE, OPPORTUNISTIC) for offered, reply in
        [(False, None), (True, None), (True, REFUSED)]],
    *[row for level in (ENCRYPTED, VERIFIED, PINNED) for row in [
        (level, False, None, "starttls-not-offered"),
        (level, False, READY, "starttls-not-offered"),
        (level, True, REFUSED, "starttls-refused"),
        (level, True, Reply(250), "starttls-refused"),
        (level, True, None, None),
        (level, True, READY, None),
    ]],
]  # fmt: skip


@pytest.mark.parametrize(("level", "offered", "reply", "word"), OFFERS)
def test_without_tls_only_the_weakest_levels_go_on(level, offered, reply, word):
    failure = judge_offer(TlsRequirement(level), offered, reply)
    assert (failure.reason.split(":")[0] if failure else None) == word
    if failure:
        assert (failure.scope, failure.permanent, failure.reply.code) == (Scope.HOST, False, 450)


def test_a_refused_starttls_tells_what_the_host_said():
    failure = judge_offer(TlsRequirement(ENCRYPTED), True, REFUSED)
    assert failure is not None
    assert "454 4.7.0 TLS not available" in failure.reason


# --- after TLS -------------------------------------------------------------------------------------------------------

VERIFIED_NAME = TlsRequirement(VERIFIED, NAME, FABRIKAM_CA)
BY_DOMAIN = TlsRequirement(VERIFIED, UNDER, FABRIKAM_CA)
BY_PIN = TlsRequirement(PINNED, pins=(OTHER_PIN, GOOD_PIN))


def leaf(**changes):
    return tls(certificate(**changes))


def test_a_hosts_certificate_need_not_be_meant_for_clients() -> None:
    seen = leaf(key_usage_oids=(SERVER_AUTH,))
    assert judge_tls(VERIFIED_NAME, seen, VERIFIER, NOW).failure is None


JUDGEMENTS = [
    # what is demanded, what was seen; the verdict and the words of what failed
    ("none, in clear", TlsRequirement(NONE), None, "tls=none", []),
    ("opportunistic, in clear", TlsRequirement(OPPORTUNISTIC), None, "tls=none", []),
    ("opportunistic, any certificate", TlsRequirement(OPPORTUNISTIC), leaf(issuer="x"), "tls=encrypted", []),
    ("encrypted, any certificate", TlsRequirement(ENCRYPTED), leaf(issuer="x", not_after=0.0), "tls=encrypted", []),
    ("encrypted, in clear", TlsRequirement(ENCRYPTED), None, "tls=none!encrypted", ["no-tls"]),
    ("encrypted, old version", TlsRequirement(ENCRYPTED, min_version="1.3"), tls(version="1.2"),
        "tls=outdated!encrypted", ["tls-version"]),
    ("verified", VERIFIED_NAME, leaf(), "tls=verified", []),
    ("verified, in clear", VERIFIED_NAME, None, "tls=none!verified", ["no-tls"]),
    ("verified, no certificate", VERIFIED_NAME, tls(), "tls=encrypted!verified", ["no-certificate"]),
    ("verified, other name", VERIFIED_NAME, leaf(dns_names=("x.example",)), "tls=encrypted!verified",
        ["certificate-name"]),
    ("verified, other CA", replace(VERIFIED_NAME, anchors=OTHER_CA), leaf(), "tls=encrypted!verified",
        ["certificate-untrusted"]),
    ("verified, expired", VERIFIED_NAME, leaf(not_after=NOW - DAY), "tls=encrypted!verified",
        ["certificate-expired"]),
    ("verified, everything wrong", replace(VERIFIED_NAME, min_version="1.3"),
        tls(certificate(issuer="x", dns_names=(), not_after=NOW - DAY), version="1.2"), "tls=outdated!verified",
        ["tls-version", "certificate-expired", "certificate-untrusted", "certificate-name"]),
    ("by MX, the domain itself", BY_DOMAIN, leaf(dns_names=("fabrikam.example",)), "tls=verified", []),
    ("by MX, a name under it", BY_DOMAIN, leaf(dns_names=("a.b.fabrikam.example",)), "tls=verified", []),
    ("by MX, a wildcard under it", BY_DOMAIN, leaf(dns_names=("*.fabrikam.example",)), "tls=verified", []),
    ("by MX, the MX host's own name does not count", BY_DOMAIN, leaf(dns_names=("mx.hoster.example",)),
        "tls=encrypted!verified", ["certificate-name"]),
    ("by MX, a name that only looks alike", BY_DOMAIN, leaf(dns_names=("notfabrikam.example",)),
        "tls=encrypted!verified", ["certificate-name"]),
    ("by address", TlsRequirement(VERIFIED, ("192.0.2.1",), FABRIKAM_CA), leaf(ip_addresses=("192.0.2.1",)),
        "tls=verified", []),
    ("by address, other address", TlsRequirement(VERIFIED, ("192.0.2.1",), FABRIKAM_CA),
        leaf(ip_addresses=("192.0.2.2",), dns_names=("192.0.2.1",)), "tls=encrypted!verified", ["certificate-name"]),
    ("pinned, of no CA", BY_PIN, leaf(issuer="x", dns_names=()), "tls=pinned", []),
    ("pinned, expired", BY_PIN, leaf(not_after=NOW - DAY), "tls=encrypted!pinned", ["certificate-expired"]),
    ("pinned, other key", BY_PIN, leaf(spki_sha256="KEY-TWO"), "tls=encrypted!pinned", ["certificate-pin"]),
    ("pinned, in clear", BY_PIN, None, "tls=none!pinned", ["no-tls"]),
    ("pinned with names and CA: all hold", TlsRequirement(PINNED, NAME, OTHER_CA, (GOOD_PIN,)), leaf(),
        "tls=encrypted!pinned", ["certificate-untrusted"]),
    ("pinned without a pin", TlsRequirement(PINNED, NAME, FABRIKAM_CA), leaf(), "tls=encrypted!pinned",
        ["certificate-pin"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("needed", "seen", "verdict", "failing"), [r[1:] for r in JUDGEMENTS], ids=[r[0] for r in JUDGEMENTS]
)
def test_a_judgement(needed, seen, verdict, failing):
    judgement = judge_tls(needed, seen, VERIFIER, NOW)
    assert judgement.verdict == verdict
    told = [part.split(":")[0] for part in judgement.failure.reason.split("; ")] if judgement.failure else []
    assert told == failing
    if judgement.failure:
        failure = judgement.failure
        assert (failure.scope, failure.permanent, failure.reply.status) == (Scope.HOST, False, "4.7.5")


def test_the_reason_tells_all_that_was_expected_and_seen():
    judgement = judge_tls(VERIFIED_NAME, leaf(dns_names=("a.example",), not_after=NOW - 2 * DAY), VERIFIER, NOW)
    assert judgement.failure is not None
    assert judgement.failure.reason == (
        "certificate-expired: CN=mail.fabrikam.example expired 2027-01-13 08:00 UTC, 2.0 days ago; "
        "certificate-name: expected mail.fabrikam.example, the certificate names a.example"
    )


@pytest.mark.parametrize(
    ("needed", "seen", "allowed"),
    [
        (TlsRequirement(ENCRYPTED), leaf(), False),
        (TlsRequirement(OPPORTUNISTIC), leaf(), False),
        (VERIFIED_NAME, leaf(), True),
        (VERIFIED_NAME, leaf(dns_names=()), False),
        (BY_PIN, leaf(), True),
        (BY_PIN, None, False),
    ],
)
def test_a_password_goes_to_a_verified_peer_only(needed, seen, allowed):
    assert may_authenticate(needed, judge_tls(needed, seen, VERIFIER, NOW)) is allowed


# --- properties ------------------------------------------------------------------------------------------------------

NEEDS = st.builds(
    TlsRequirement,
    st.sampled_from(TlsLevel),
    st.sampled_from([(), NAME, UNDER, ("*.fabrikam.example",)]),
    st.sampled_from([None, SYSTEM, FABRIKAM_CA, OTHER_CA]),
    st.sampled_from([(), (GOOD_PIN,), (OTHER_PIN,)]),
    st.sampled_from(["1.2", "1.3"]),
)
SEEN = st.one_of(st.none(), st.builds(tls, LEAVES, st.sampled_from(["1.0", "1.2", "1.3"])))


@given(NEEDS)
def test_plaintext_never_satisfies_encrypted_or_more(needed):
    judgement = judge_tls(needed, None, VERIFIER, NOW)
    assert (judgement.failure is not None) is (needed.level >= ENCRYPTED)
    assert (judge_offer(needed, False, None) is not None) is (needed.level >= ENCRYPTED)


@given(NEEDS, SEEN)
def test_a_weaker_level_is_satisfied_by_whatever_satisfies_a_stronger(needed, seen):
    for level in range(needed.level):
        if judge_tls(needed, seen, VERIFIER, NOW).failure is None and level != VERIFIED:
            assert judge_tls(replace(needed, level=TlsLevel(level)), seen, VERIFIER, NOW).failure is None


@given(NEEDS, SEEN)
def test_verified_needs_a_valid_leaf_of_an_expected_name(needed, seen):
    if needed.level >= VERIFIED and judge_tls(needed, seen, VERIFIER, NOW).failure is None:
        assert seen is not None
        assert seen.leaf is not None
        assert seen.leaf.not_before <= NOW <= seen.leaf.not_after
        assert needed.names or needed.anchors or needed.pins
        assert not needed.pins or any(pin.matches(seen.leaf) for pin in needed.pins)


@given(NEEDS, SEEN)
def test_the_verdict_tells_a_failure_by_its_sign(needed, seen):
    judgement = judge_tls(needed, seen, VERIFIER, NOW)
    assert ("!" in judgement.verdict) is (judgement.failure is not None)


def test_a_certificate_of_the_world_is_the_one_that_is_expected():
    assert judge_tls(VERIFIED_NAME, tls(CERTIFICATE), VERIFIER, NOW).failure is None


AUDITED = Outbound(tls=OutboundTls(level=VERIFIED, names=NAME, ca=FABRIKAM_CA))
LENIENT = Outbound(tls=OutboundTls(level=OPPORTUNISTIC))


def test_of_a_contract_in_audit_mode_both_are_told_what_is_demanded_and_what_would_be() -> None:
    needed = strictest(replace(LENIENT, audited=AUDITED), MX, HOST)
    assert isinstance(needed, TlsRequirement)
    assert (needed.level, needed.would) == (OPPORTUNISTIC, strictest(AUDITED, MX, HOST))
    broken = strictest(replace(LENIENT, audited=replace(AUDITED, broken="no such file")), MX, HOST)
    assert isinstance(broken, TlsRequirement)
    assert isinstance(broken.would, Failure)
    assert broken.would.reason == "contract-broken: no such file"
    assert strictest(LENIENT, MX, HOST) == replace(needed, would=None)


def test_a_broken_contract_is_our_own_word_and_passes() -> None:
    """Nobody said it to us, so no bounce may quote it as the peer's; and a file can be mended."""
    failure = unusable(replace(AUDITED, broken="no such file"))
    assert failure is not None
    assert (failure.scope, failure.permanent, failure.local) == (Scope.DESTINATION, False, True)
    assert str(failure.reply).startswith("450 4.3.5")
    assert unusable(AUDITED) is None


def test_an_audit_says_what_the_contract_would_have_said() -> None:
    shown = tls(CERTIFICATE)
    assert judge_audit(TlsRequirement(ENCRYPTED), shown, VERIFIER, NOW) is None
    good = TlsRequirement(ENCRYPTED, would=TlsRequirement(VERIFIED, NAME, FABRIKAM_CA))
    bad = replace(good, would=TlsRequirement(VERIFIED, NAME, OTHER_CA))
    assert judge_audit(good, shown, VERIFIER, NOW) == judge_tls(good.would, shown, VERIFIER, NOW)  # type: ignore[arg-type]
    found = judge_audit(bad, shown, VERIFIER, NOW)
    assert found is not None
    assert found.failure is not None


def test_a_password_goes_to_who_an_audited_contract_has_verified_and_to_nobody_else() -> None:
    shown = tls(CERTIFICATE)
    good = TlsRequirement(ENCRYPTED, would=TlsRequirement(VERIFIED, NAME, FABRIKAM_CA))
    bad = replace(good, would=TlsRequirement(VERIFIED, NAME, OTHER_CA))
    for needed, allowed in ((good, True), (bad, False)):
        judgement = judge_tls(needed, shown, VERIFIER, NOW)
        audit = judge_audit(needed, shown, VERIFIER, NOW)
        assert may_authenticate(needed, judgement, audit) == allowed
        assert not may_authenticate(needed, judgement, None)


def test_the_oldest_version_that_is_allowed_is_no_fault() -> None:
    needed = TlsRequirement(VERIFIED, NAME, FABRIKAM_CA, min_version="1.3")
    assert judge_tls(needed, tls(CERTIFICATE), VERIFIER, NOW).failure is None
    assert judge_tls(needed, tls(CERTIFICATE, version="1.2"), VERIFIER, NOW).verdict == "tls=outdated!verified"
