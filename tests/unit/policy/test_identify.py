"""Identity is proven, never claimed: each rule of *Proof* is a row."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.contract.connectors import Connector
from mta.contract.inbound import Inbound
from mta.model.session import SessionFacts
from mta.policy.certificate import CertificateDemand, judge_certificate
from mta.policy.identify import Identity, can_identify, demanded, judge_proof, session, version
from tests.unit.policy.world import (
    ANY_USAGE,
    CERTIFICATE,
    CLIENT_AUTH,
    DAY,
    DEFAULT,
    FABRIKAM,
    FABRIKAM_CA,
    GOOD_PIN,
    INSIDER,
    INTERNAL,
    NOW,
    OTHER_CA,
    OTHER_PIN,
    PARTNER,
    SERVER_AUTH,
    STRANGER,
    VERIFIER,
    IssuerVerifier,
    certificate,
    demanding,
    facts,
    index,
    networks,
    tls,
    words,
)

NAME = ("mail.fabrikam.example",)


def proof(inbound: Inbound, seen) -> list[str]:
    return words(judge_proof(Connector("x", inbound=inbound), seen, VERIFIER, NOW))


CA, ANY_HOST = FABRIKAM_CA, "*.fabrikam.example"
NEAR, FAR_AWAY = ("198.51.100.0/24",), ("203.0.113.0/24",)
FAR = networks("203.0.113.0/24", "2001:db8::/32")


def want(*, nets: tuple = (), combine: str = "all", **tls_wanted) -> Inbound:
    return Inbound(tls=demanding(**tls_wanted), networks=networks(*nets), combine=combine)


def shows(**changes):
    return facts(tls=tls(certificate(**changes)))


OLD = tls(CERTIFICATE, version="1.2")
EXPIRED = {"not_after": NOW - 3 * DAY}
EARLY = {"not_before": NOW + DAY}
STRANGE = certificate(issuer="other-ca.pem", dns_names=("mail.tailspin.example",), spki_sha256="KEY-TWO")

PROOFS = [
    # what is demanded, what the session shows, what fails
    ("nothing is demanded", Inbound(), facts(), []),
    ("TLS is demanded, session in clear", want(), facts(), ["no-tls"]),
    ("TLS is demanded and there", want(), facts(tls=tls()), []),
    ("TLS 1.3 is demanded, 1.2 used", want(min_version="1.3"), facts(tls=OLD), ["tls-version"]),
    ("TLS 1.2 is demanded, 1.2 used", want(min_version="1.2"), facts(tls=OLD), []),
    ("TLS 1.2 is demanded, 1.3 used", want(min_version="1.2"), facts(tls=tls()), []),
    ("optional TLS judges no version", want(required=False), facts(tls=tls(version="1.0")), []),
    ("a version nobody knows is too old", want(), facts(tls=tls(version="?")), ["tls-version"]),
    ("name and CA hold", want(names=NAME, ca=CA), shows(), []),
    ("no certificate", want(ca=CA), facts(tls=tls()), ["no-certificate"]),
    ("certificate, no TLS", want(ca=CA), facts(), ["no-tls", "no-certificate"]),
    ("other CA", want(names=NAME, ca=OTHER_CA), shows(), ["certificate-untrusted"]),
    ("name without ca: system store", want(names=NAME), shows(), ["certificate-untrusted"]),
    ("name without ca, public CA", want(names=NAME), shows(issuer="system"), []),
    ("CA without names", want(ca=CA), shows(dns_names=()), []),
    ("right CA, other name", want(names=NAME, ca=CA), shows(dns_names=("x.example",)), ["certificate-name"]),
    ("one of several names", want(names=("a.example", *NAME), ca=CA), shows(), []),
    ("the common name is no name", want(names=NAME, ca=CA), shows(dns_names=()), ["certificate-name"]),
    ("*.x matches one label", want(names=(ANY_HOST,), ca=CA), shows(), []),
    ("*.x matches no two labels", want(names=("*.example",), ca=CA), shows(), ["certificate-name"]),
    ("*.x matches a presented *.x", want(names=(ANY_HOST,), ca=CA), shows(dns_names=(ANY_HOST,)), []),
    ("expired", want(ca=CA), shows(**EXPIRED), ["certificate-expired"]),
    ("not yet valid", want(ca=CA), shows(**EARLY), ["certificate-not-yet-valid"]),
    ("valid to the very second", want(ca=CA), shows(not_after=NOW), []),
    ("bad signature", want(ca=CA), shows(issuer="broken"), ["certificate-invalid"]),
    ("a pin alone is proof enough", want(pins=(GOOD_PIN,)), shows(issuer="nobody"), []),
    ("any one pin suffices", want(pins=(OTHER_PIN, GOOD_PIN)), shows(), []),
    ("no pin matches", want(pins=(OTHER_PIN,)), shows(), ["certificate-pin"]),
    ("a pinned leaf may not be expired", want(pins=(GOOD_PIN,)), shows(**EXPIRED), ["certificate-expired"]),
    ("a pinned leaf may not be early", want(pins=(GOOD_PIN,)), shows(**EARLY), ["certificate-not-yet-valid"]),
    ("a pin replaces no CA", want(pins=(GOOD_PIN,), ca=OTHER_CA), shows(), ["certificate-untrusted"]),
    ("a pin replaces no name", want(pins=(GOOD_PIN,), ca=CA, names=("x.example",)), shows(), ["certificate-name"]),
    ("a CA and a name replace no pin", want(pins=(OTHER_PIN,), ca=CA, names=NAME), shows(), ["certificate-pin"]),
    ("eku any judges none", want(ca=CA), shows(key_usage_oids=(SERVER_AUTH,)), []),
    ("eku client, server only", want(ca=CA, eku="client"), shows(key_usage_oids=(SERVER_AUTH,)), ["certificate-eku"]),
    ("eku client, none stated", want(ca=CA, eku="client"), shows(), []),
    ("eku client, client stated", want(ca=CA, eku="client"), shows(key_usage_oids=(SERVER_AUTH, CLIENT_AUTH)), []),
    ("eku client, any usage", want(ca=CA, eku="client"), shows(key_usage_oids=(ANY_USAGE,)), []),
    ("no names, CA or pins prove nobody", want(eku="client"), shows(), ["certificate-untrusted"]),
    ("every fault at once", want(names=NAME, ca=CA, pins=(GOOD_PIN,), min_version="1.3", nets=FAR_AWAY),
        facts(tls=tls(STRANGE, version="1.2")),
        ["tls-version", "certificate-untrusted", "certificate-name", "certificate-pin", "network"]),
    ("inside the network", Inbound(networks=networks("198.51.100.0/24")), facts(), []),
    ("outside the network", Inbound(networks=FAR), facts(), ["network"]),
    ("IPv6 network", Inbound(networks=FAR), facts("2001:db8::7"), []),
    ("all: the network alone is not enough", want(ca=CA, nets=NEAR), facts(tls=tls()), ["no-certificate"]),
    ("all: the certificate alone is not enough", want(ca=CA, nets=FAR_AWAY), shows(), ["network"]),
    ("any: the network is enough", want(ca=CA, nets=NEAR, combine="any"), facts(tls=tls()), []),
    ("any: the certificate is enough", want(ca=CA, nets=FAR_AWAY, combine="any"), shows(), []),
    ("any: tls holds all the same", want(ca=CA, nets=NEAR, combine="any"), facts(), ["no-tls"]),
    ("any: the version holds all the same", want(ca=CA, min_version="1.3", nets=NEAR, combine="any"),
        facts(tls=OLD), ["tls-version"]),
    ("any: neither", want(ca=OTHER_CA, nets=FAR_AWAY, combine="any"), shows(), ["certificate-untrusted", "network"]),
    ("any of networks alone is that network", Inbound(networks=FAR, combine="any"), facts(), ["network"]),
    ("any of a certificate alone is that one", want(ca=CA, combine="any"), facts(tls=tls()), ["no-certificate"]),
]  # fmt: skip


@pytest.mark.parametrize(("inbound", "seen", "expected"), [row[1:] for row in PROOFS], ids=[row[0] for row in PROOFS])
def test_every_failing_condition_has_its_word(inbound, seen, expected):
    assert proof(inbound, seen) == expected


def test_a_reason_says_what_was_expected_and_what_was_seen():
    reasons = judge_proof(FABRIKAM, facts(tls=tls(certificate(dns_names=("a.example", "b.example")))), VERIFIER, NOW)
    assert str(reasons[0]) == (
        "certificate-name: expected mail.fabrikam.example, the certificate names a.example, b.example"
    )
    assert str(reasons[1]) == "network: 198.51.100.7 is in none of 203.0.113.0/24"


def test_an_expired_certificate_is_told_once_with_its_date():
    reasons = judge_proof(FABRIKAM, facts("203.0.113.9", tls(certificate(**EXPIRED))), VERIFIER, NOW)
    assert [str(reason) for reason in reasons] == [
        "certificate-expired: CN=mail.fabrikam.example expired 2027-01-12 08:00 UTC, 3.0 days ago"
    ]


@pytest.mark.parametrize(("key", "words"), [("rsa-1024", ["certificate-invalid"]), ("rsa-2048", []), ("ed25519", [])])
def test_a_pinned_key_must_be_strong(key, words):
    pinned = CertificateDemand(pins=(GOOD_PIN,))
    reasons = judge_certificate(pinned, tls(certificate(key=key)), VERIFIER, NOW)
    assert [reason.word for reason in reasons] == words


def test_a_pin_alone_asks_no_ca():
    verifier = IssuerVerifier()
    judge_proof(Connector("x", inbound=Inbound(tls=demanding(pins=(GOOD_PIN,)))), PARTNER, verifier, NOW)
    assert verifier.calls == 0


# --- session ---------------------------------------------------------------------------------------------------------


def who(seen, *connectors: Connector):
    return session(index(*connectors), seen, VERIFIER, NOW)


def test_a_stranger_is_default_and_may_not_relay():
    identity = who(STRANGER)
    assert (identity.connector.name, identity.proven, identity.relays) == ("default", False, False)


def test_our_own_network_may_relay():
    identity = who(INSIDER)
    assert (identity.connector.name, identity.proven, identity.relays) == ("internal", True, True)
    assert words(identity.reasons) == ["proven"]


def test_the_longest_prefix_identifies():
    narrow = Connector("narrow", inbound=Inbound(networks=networks("10.1.0.0/16")))
    identity = who(INSIDER, narrow)
    assert (identity.connector.name, identity.relays) == ("narrow", False)


def test_a_narrower_network_that_demands_more_leaves_the_peer_to_the_wider_one():
    narrow = Connector("narrow", inbound=Inbound(networks=networks("10.1.0.0/16"), tls=demanding()))
    identity = who(INSIDER, narrow)
    assert identity.connector.name == "internal"
    assert [(loser.connector, loser.reason.split(":")[0]) for loser in identity.losers] == [("narrow", "no-tls")]


def test_a_certificate_comes_before_a_network():
    scanner = Connector("scanner", inbound=Inbound(tls=demanding(pins=(GOOD_PIN,))))
    assert who(facts("10.1.2.3", tls(CERTIFICATE)), scanner).connector.name == "scanner"
    assert who(facts("10.1.2.3", tls(STRANGE)), scanner).connector.name == "internal"


def test_a_partner_is_not_identified_without_a_claim():
    assert who(PARTNER).connector.name == "default"


def test_a_partner_that_may_relay_is_identified_without_a_claim():
    identity = who(PARTNER, replace(FABRIKAM, relay=True))
    assert (identity.connector.name, identity.relays) == ("fabrikam", True)


def test_a_connector_in_audit_mode_identifies_nobody_but_is_remembered():
    identity = who(INSIDER, replace(INTERNAL, mode="audit"))
    assert (identity.connector.name, identity.proven, identity.relays) == ("default", False, False)
    assert identity.audited is not None
    assert identity.enforced.relays


def test_an_audit_does_not_stand_before_an_enforced_network():
    narrow = Connector("narrow", mode="audit", inbound=Inbound(networks=networks("10.1.0.0/16")))
    identity = who(INSIDER, narrow)
    assert identity.connector.name == "internal"
    assert identity.relays
    assert identity.audited is not None
    assert identity.audited.name == "narrow"


def test_a_relay_connector_that_demands_no_proof_identifies_nobody():
    careless = Connector("careless", relay=True, inbound=Inbound(identity="none"))
    assert who(STRANGER, careless).connector is DEFAULT
    assert not can_identify(careless)


def test_no_identity_of_an_audited_connector_relays():
    assert Identity(INTERNAL, proven=True).relays
    assert not Identity(replace(INTERNAL, mode="audit"), proven=True).relays
    assert not Identity(INTERNAL, proven=False).relays


# --- properties ------------------------------------------------------------------------------------------------------

ADDRESSES = st.sampled_from(["198.51.100.7", "203.0.113.9", "10.1.2.3", "2001:db8::1"])
LEAVES = st.one_of(
    st.none(),
    st.builds(
        certificate,
        issuer=st.sampled_from(["fabrikam-ca.pem", "other-ca.pem", "system", "broken"]),
        dns_names=st.lists(st.sampled_from(["mail.fabrikam.example", "x.example", "*.fabrikam.example"])).map(tuple),
        spki_sha256=st.sampled_from(["KEY-ONE", "KEY-TWO"]),
        not_after=st.sampled_from([NOW - DAY, NOW, NOW + DAY]),
        not_before=st.sampled_from([NOW - DAY, NOW + DAY / 2]),
        key_usage_oids=st.sampled_from([(), (CLIENT_AUTH,), (SERVER_AUTH,)]),
    ),
)
HANDSHAKES = st.one_of(st.none(), st.builds(tls, LEAVES, st.sampled_from(["1.0", "1.2", "1.3"])))
SESSIONS = st.builds(facts, ADDRESSES, HANDSHAKES)
CERTIFICATES = st.fixed_dictionaries(
    {},
    optional={
        "names": st.sampled_from([NAME, ("*.fabrikam.example",)]),
        "ca": st.sampled_from([FABRIKAM_CA, OTHER_CA]),
        "pins": st.sampled_from([(GOOD_PIN,), (OTHER_PIN,), (OTHER_PIN, GOOD_PIN)]),
        "eku": st.sampled_from(["any", "client"]),
    },
)
INBOUNDS = st.builds(
    lambda tls_wanted, nets, combine: Inbound(tls=tls_wanted, networks=nets, combine=combine),
    st.builds(
        lambda required, version, wanted: demanding(required=required, min_version=version, **wanted),
        st.booleans(),
        st.sampled_from(["1.2", "1.3"]),
        CERTIFICATES,
    ),
    st.sampled_from([(), networks("203.0.113.0/24"), networks("203.0.113.0/24", "2001:db8::/32")]),
    st.sampled_from(["all", "any"]),
)


@given(INBOUNDS, SESSIONS)
def test_what_satisfies_all_satisfies_any(inbound, seen):
    if not proof(replace(inbound, combine="all"), seen):
        assert proof(replace(inbound, combine="any"), seen) == []


@given(INBOUNDS, SESSIONS)
def test_any_never_names_a_fault_that_all_does_not(inbound, seen):
    assert set(proof(replace(inbound, combine="any"), seen)) <= set(proof(replace(inbound, combine="all"), seen))


@given(INBOUNDS, SESSIONS)
def test_tls_added_to_a_session_never_takes_a_proof_away(inbound, seen):
    if seen.tls is None and not proof(inbound, seen):
        assert proof(inbound, replace(seen, tls=tls(CERTIFICATE))) == []


@given(INBOUNDS, SESSIONS)
def test_a_further_pin_or_network_only_widens(inbound, seen):
    wanted = inbound.tls.client_certificate
    if not proof(inbound, seen):
        wider = replace(inbound, networks=(*inbound.networks, *networks("192.0.2.0/24")) if inbound.networks else ())
        if wanted and wanted.pins:
            further = replace(wanted, pins=(*wanted.pins, OTHER_PIN))
            wider = replace(wider, tls=replace(wider.tls, client_certificate=further))
        assert proof(wider, seen) == []


@given(INBOUNDS, SESSIONS)
def test_without_tls_nothing_that_requires_it_is_proven(inbound, seen):
    if inbound.tls.required:
        assert "no-tls" in proof(inbound, replace(seen, tls=None))


@given(INBOUNDS, SESSIONS, st.booleans(), st.sampled_from(["enforce", "audit"]))
def test_only_a_proven_enforced_relay_connector_relays(inbound, seen, relay, mode):
    connector = Connector("one", mode=mode, relay=relay, inbound=inbound)
    identity = session(index(connector, replace(INTERNAL, inbound=Inbound())), seen, VERIFIER, NOW)
    if identity.relays:
        assert relay
        assert mode == "enforce"
        assert inbound.demands_proof
        assert proof(inbound, seen) == []


@pytest.mark.parametrize(
    ("older", "newer"), [("1.2", "1.3"), ("1.0", "1.2"), ("", "1.0"), ("x.y", "1.0"), ("1.9", "1.10")]
)
def test_versions_compare_as_numbers(older, newer):
    assert version(older) < version(newer)


NETWORK = networks("198.51.100.0/24")
BROKEN = Connector("broken", relay=True, inbound=Inbound(networks=NETWORK, broken="ca.pem is no certificate"))


@pytest.mark.parametrize(
    ("connector", "undecided"),
    [
        (BROKEN, True),  # nothing lasting is wrong: it may be the peer's connector once the file is mended
        (replace(BROKEN, mode="audit"), False),  # whose verdict is not awaited
        (replace(BROKEN, inbound=replace(BROKEN.inbound, tls=demanding())), False),  # no TLS: that lasts
        (replace(BROKEN, inbound=replace(BROKEN.inbound, broken="")), False),  # it is the peer's
    ],
    ids=["broken", "audit", "lasting", "whole"],
)
def test_only_what_may_still_be_proven_is_undecided(connector: Connector, undecided: bool) -> None:
    found = session(index(connector), facts(), VERIFIER, NOW)
    assert (found.undecided is not None) == undecided


def test_a_candidate_by_certificate_and_by_network_is_judged_once() -> None:
    wanted = replace(want(ca=FABRIKAM_CA, min_version="1.3"), networks=NETWORK)
    identity = session(index(Connector("both", relay=True, inbound=wanted)), facts(tls=OLD), VERIFIER, NOW)
    assert [loser.connector for loser in identity.losers] == ["both"]


@pytest.mark.parametrize("combine", ["all", "any"])
@pytest.mark.parametrize(
    ("wanted", "seen", "expected"),
    [
        (want(ca=CA, nets=NEAR), facts(tls=tls()), ["no-certificate"]),
        (want(ca=CA, nets=NEAR), shows(), ["contract-broken"]),
        (want(nets=NEAR), facts(tls=tls()), ["contract-broken"]),
        (want(nets=FAR_AWAY), facts(tls=tls()), ["network"]),
        (want(ca=CA, nets=FAR_AWAY), facts(tls=tls()), ["no-certificate", "network"]),
        (want(ca=CA, nets=NEAR), facts(), ["no-tls", "no-certificate"]),
    ],
    ids=["no-certificate", "shown", "none-wanted", "network", "both", "clear"],
)
def test_of_a_broken_contract_only_what_is_wrong_without_its_files_lasts(
    wanted: Inbound, seen: SessionFacts, expected: list[str], combine: str
) -> None:
    """With `combine: any` the certificate may prove what the network does not, and the other way round."""
    lasting = [word for word in expected if word == "no-tls"] or ["contract-broken"]
    found = proof(replace(wanted, combine=combine, broken="ca.pem is no certificate"), seen)
    assert found == (expected if combine == "all" else lasting)


@pytest.mark.parametrize(
    ("relay", "own_inbound", "domains", "identifies"),
    [
        (False, False, (), False),
        (False, True, (), True),
        (False, True, ("fabrikam.example",), False),
        (False, False, ("fabrikam.example",), False),
        (True, False, ("fabrikam.example",), True),
    ],
)
def test_without_a_claim_a_session_is_a_relays_or_of_a_connector_without_domains(
    relay: bool, own_inbound: bool, domains: tuple[str, ...], identifies: bool
) -> None:
    connector = Connector("x", domains=domains, relay=relay, own_inbound=own_inbound, inbound=Inbound(networks=NETWORK))
    assert can_identify(connector) == identifies
    assert not can_identify(replace(connector, inbound=Inbound()))
    assert not can_identify(replace(connector, name="default"))


def test_what_is_demanded_is_told_in_words() -> None:
    assert demanded(Inbound()) == "nothing"
    assert demanded(want()) == "TLS 1.2 or newer"
    both = want(nets=NEAR, ca=CA)
    assert " and an address of its networks" in demanded(both)
    assert " or an address of its networks" in demanded(replace(both, combine="any"))
