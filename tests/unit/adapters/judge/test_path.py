"""Judging certificates of S/MIME: paths, usage, and what is known of their revocation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from mta.adapters.judge import revocation
from mta.adapters.judge.fetch import Fetcher, FetchSettings
from mta.adapters.judge.path import JudgeSettings, PathJudge
from mta.adapters.pki import Authority, Issued
from mta.model.tls import PathFault, PathVerdict
from mta.rfc.pkix.crl import read_lists
from tests.support.corpora import corpus
from tests.support.fake_resolver import FakeResolver
from tests.support.http_peer import HttpPeer, http_peer
from tests.support.patience import PATIENCE
from tests.support.people import EPOCH, NOW, der, issued, key
from tests.support.pki import authority, crl, staple

CA = authority("People CA")


def judge(fetcher: Fetcher | None = None, **settings: Any) -> PathJudge:
    known = JudgeSettings(**{"anchors": (CA.der,), "revocation": "off", **settings})
    return PathJudge(known, fetcher or Fetcher(FetchSettings((), False), FakeResolver))


async def verdict(one: bytes, *others: bytes, purpose: Any = "encrypt", **settings: Any) -> PathVerdict:
    return await judge(**settings).judge(one, others, purpose, EPOCH)


# --- paths and usage


async def test_a_path_to_an_anchor() -> None:
    found = await verdict(der())
    assert found.trusted
    assert [facts.der for facts in found.path] == [found.path[0].der, CA.der]


async def test_a_chain_by_what_lies_by_or_was_configured() -> None:
    middle = CA.intermediate("People Sub CA")
    one = der(issuer=middle)
    assert (await verdict(one)).fault == PathFault.UNTRUSTED
    assert (await verdict(one, middle.der)).trusted
    assert (await verdict(one, b"nonsense", der(), middle.der)).trusted
    assert (await verdict(one, intermediates=(middle.der,))).trusted
    assert (await verdict(one, anchors=(middle.der,))).trusted  # any CA may be an anchor


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"issuer": authority("Stranger")}, PathFault.UNTRUSTED),
    ({"issuer": None}, PathFault.UNTRUSTED),
    ({"begins": NOW - timedelta(9), "ends": NOW - timedelta(1)}, PathFault.EXPIRED),
    ({"begins": NOW + timedelta(1), "ends": NOW + timedelta(9)}, PathFault.NOT_YET_VALID),
    ({"usages": ("digital_signature",)}, PathFault.USAGE),
    ({"purposes": ("1.3.6.1.5.5.7.3.1",)}, PathFault.USAGE),
    ({"extra": [(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)]}, PathFault.USAGE),
]


@pytest.mark.parametrize(("wishes", "fault"), FAULTS, ids=lambda value: value if isinstance(value, str) else "")
async def test_every_fault_has_its_word(wishes: dict[str, Any], fault: str) -> None:
    assert (await verdict(der(**wishes))).fault == fault


async def test_signing_and_encrypting_are_two_things() -> None:
    signing = der(usages=("digital_signature",))
    assert (await verdict(signing, purpose="sign")).trusted
    assert (await verdict(der(usages=("key_agreement",)), purpose="sign")).fault == PathFault.USAGE
    assert (await verdict(der(purposes=None))).trusted
    assert (await verdict(der(purposes=None), require_usage=True)).fault == PathFault.USAGE


async def test_a_forged_signature_and_weak_keys() -> None:
    impostor = Authority("People CA", key=key("ec-p384"))  # of the same name
    assert not (await verdict(der(issuer=impostor))).trusted
    weak = Authority("Weak CA", key=key("rsa-1024"))
    assert (await verdict(der(issuer=weak), anchors=(weak.der,))).fault == PathFault.INVALID
    assert (await verdict(der(issuer=weak), anchors=(weak.der,), min_rsa_bits=1024)).trusted


async def test_brainpool() -> None:
    ca = Authority("Brainpool CA", key=key("ec-brainpool256"))
    assert (await verdict(der(issuer=ca, kind="ec-brainpool256"), anchors=(ca.der,))).trusted


@pytest.mark.parametrize(
    "octets", [b"", b"\x30\x00", b"\x30\x80" * 30_000, b"x" * 70_000, der()[:-1]], ids=lambda value: value[:2].hex()
)
async def test_what_is_no_certificate_is_data(octets: bytes) -> None:
    assert (await verdict(octets)).fault == PathFault.INVALID


async def test_verdicts_are_kept_for_a_while_and_only_for_their_time() -> None:
    one = der(ends=NOW + timedelta(seconds=200))
    known = judge()
    assert (await known.judge(one, (), "encrypt", EPOCH)).trusted
    assert (await known.judge(one, (), "encrypt", EPOCH)) is (await known.judge(one, (), "encrypt", EPOCH + 1))
    assert not (await known.judge(one, (), "encrypt", EPOCH + 10_000)).trusted


async def test_a_verdict_ends_with_the_certificate_to_the_second() -> None:
    one = der(begins=NOW - timedelta(seconds=50), ends=NOW + timedelta(seconds=100))
    known = judge()
    for moment, trusted in ((-51, False), (-50, True), (100, True), (100.5, False), (101, False)):
        assert (await known.judge(one, (), "encrypt", EPOCH + moment)).trusted is trusted
        assert (await judge().judge(one, (), "encrypt", EPOCH + moment)).trusted is trusted


# --- anchors, CAs and the names they may give

CA_USAGES = ("key_cert_sign",)
KIND = "ec-p384"  # the key of leaves is another
TO_SIGN = "digital_signature"
SERVERS = "1.3.6.1.5.5.7.3.1"


def acting(**wishes: Any) -> Authority:
    """A certificate that acts as a CA, whatever it says of itself."""
    known = {
        "ca": True,
        "emails": (),
        "usages": CA_USAGES,
        "purposes": None,
        "issuer": None,
        "name": "Odd CA",
        "kind": KIND,
    }
    found = Authority.__new__(Authority)
    found._hold(Issued(x509.load_der_x509_certificate(der(**{**known, **wishes})), key(KIND)))
    return found


def only(*bases: x509.GeneralName) -> list[tuple[x509.ExtensionType, bool]]:
    return [(x509.NameConstraints(bases, None), True)]


OVER = {"begins": NOW - timedelta(9), "ends": NOW - timedelta(1)}
EARLY = {"begins": NOW + timedelta(1), "ends": NOW + timedelta(9)}
FABRIKAM, TAILSPIN = x509.RFC822Name("fabrikam.example"), x509.RFC822Name("tailspin.example")
UPN = x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01x")
ISSUERS: list[tuple[dict[str, Any], str]] = [
    ({}, ""),
    (OVER, PathFault.EXPIRED),
    (EARLY, PathFault.NOT_YET_VALID),
    ({"ca": False}, PathFault.INVALID),  # a person speaks for nobody else
    ({"ca": False, "usages": None}, PathFault.INVALID),
    ({"usages": (TO_SIGN,)}, PathFault.INVALID),
    ({"usages": None}, ""),
    ({"purposes": (SERVERS,)}, PathFault.INVALID),
    ({"purposes": (SERVERS, "1.3.6.1.5.5.7.3.4")}, ""),
    ({"purposes": ("2.5.29.37.0",)}, ""),
    ({"extra": only(FABRIKAM)}, ""),
    ({"extra": only(TAILSPIN)}, PathFault.INVALID),
    ({"extra": only(UPN)}, ""),
]


@pytest.mark.parametrize(("wishes", "fault"), ISSUERS, ids=[str(number) for number in range(len(ISSUERS))])
async def test_what_an_anchor_says_of_itself_holds(wishes: dict[str, Any], fault: str) -> None:
    odd = acting(**wishes)
    found = await verdict(der(issuer=odd), anchors=(odd.der,))
    assert (found.fault, "Error" in found.detail) == (fault, False)


@pytest.mark.parametrize(("wishes", "fault"), ISSUERS, ids=[str(number) for number in range(len(ISSUERS))])
async def test_what_a_ca_below_says_of_itself_holds(wishes: dict[str, Any], fault: str) -> None:
    odd = acting(**wishes, issuer=CA)
    assert (await verdict(der(issuer=odd), odd.der)).fault == fault


async def test_the_path_length_of_an_anchor_holds() -> None:
    short = Authority("Short CA")
    builder = acting(name="Short CA", extra=())
    certificate = (
        x509.CertificateBuilder(builder.certificate.subject, builder.certificate.subject, key(KIND).public_key(), 7)
        .not_valid_before(NOW - timedelta(1))
        .not_valid_after(NOW + timedelta(1))
        .add_extension(x509.BasicConstraints(True, 0), critical=True)
        .sign(key(KIND), hashes.SHA256())  # type: ignore[arg-type]
    )
    short._hold(Issued(certificate, key(KIND)))
    below = acting(issuer=short, name="Below")
    assert (await verdict(der(issuer=short), anchors=(short.der,))).trusted
    assert not (await verdict(der(issuer=below), below.der, anchors=(short.der,))).trusted


async def test_a_leaf_that_is_an_anchor_has_its_time() -> None:
    for wishes, fault in (({}, ""), (OVER, PathFault.EXPIRED), (EARLY, PathFault.NOT_YET_VALID)):
        leaf = der(**wishes)
        assert (await verdict(leaf, anchors=(leaf,))).fault == fault


@pytest.mark.parametrize(
    "wishes",
    [
        {"emails": ("ceo@tailspin.example",)},
        {"emails": (), "utf8_mailboxes": ("ceo@tailspin.example",)},
        {"utf8_mailboxes": ("bäcker@tailspin.example",)},
        {"emails": (), "subject_email": "ceo@tailspin.example"},
        {"emails": (), "dns_names": ("fabrikam.example",), "subject_email": "ceo@tailspin.example"},
    ],
)
async def test_no_address_escapes_the_constraints(wishes: dict[str, Any]) -> None:
    for anchored in (True, False):
        odd = acting(extra=only(FABRIKAM), issuer=None if anchored else CA)
        found = await verdict(der(issuer=odd, **wishes), odd.der, anchors=(odd.der if anchored else CA.der,))
        assert (found.fault, "tailspin.example" in found.detail) == (PathFault.INVALID, True)


# --- revocation


@pytest.fixture
def peer() -> Iterator[HttpPeer]:
    with http_peer() as running:
        yield running


def fetching(peer: HttpPeer) -> Fetcher:
    return Fetcher(FetchSettings((f"127.0.0.1:{peer.port}",), False, 2.0), FakeResolver)


MODES = ("soft", "hard")


@pytest.mark.parametrize("mode", MODES)
async def test_a_list_at_hand_counts_though_the_certificate_names_no_place(mode: str) -> None:
    good, bad = der(), der()
    lists = read_lists(crl(CA, issued(bad)))
    assert (await verdict(good, revocation=mode, lists=lists)).trusted
    assert (await verdict(bad, revocation=mode, lists=lists)).fault == PathFault.REVOKED
    assert (await verdict(bad, revocation="off", lists=lists)).trusted


@pytest.mark.parametrize("mode", MODES)
async def test_a_list_is_fetched_once(peer: HttpPeer, mode: str) -> None:
    good, bad = (der(lists=[peer.url("/ca.crl")]) for _ in range(2))
    peer.answers["/ca.crl"] = crl(CA, issued(bad))
    known = judge(fetching(peer), revocation=mode)
    assert (await known.judge(good, (), "encrypt", EPOCH)).trusted
    assert (await known.judge(bad, (), "encrypt", EPOCH)).fault == PathFault.REVOKED
    assert len(peer.requests) == 1
    await known.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("status", [ocsp.OCSPCertStatus.GOOD, ocsp.OCSPCertStatus.REVOKED])
async def test_a_responder_is_asked(peer: HttpPeer, mode: str, status: Any) -> None:
    one = der(responders=[peer.url("/ocsp")], lists=[peer.url("/never.crl")])
    peer.answers["/ocsp"] = lambda body: staple(CA, issued(one), status=status)
    known = judge(fetching(peer), revocation=mode)
    found = await known.judge(one, (), "encrypt", EPOCH)
    assert found.fault == (PathFault.NONE if status is ocsp.OCSPCertStatus.GOOD else PathFault.REVOKED)
    assert [(method, path) for method, path, _, _ in peer.requests] == [("POST", "/ocsp")]
    request = ocsp.load_der_ocsp_request(peer.requests[0][3])
    assert request.serial_number == issued(one).certificate.serial_number
    await known.close()


@pytest.mark.parametrize(
    "answer",
    [
        (503, {}, b""),
        b"nonsense",
        ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER),
    ],
)
async def test_where_the_responder_does_not_help_the_list_does(peer: HttpPeer, answer: Any) -> None:
    one = der(responders=[peer.url("/ocsp")], lists=[peer.url("/ca.crl")])
    peer.answers |= {"/ocsp": answer, "/ca.crl": crl(CA, issued(one))}
    known = judge(fetching(peer), revocation="soft")
    assert (await known.judge(one, (), "encrypt", EPOCH)).fault == PathFault.REVOKED
    await known.close()


UNKNOWN: list[tuple[dict[str, Any], str]] = [
    ({}, PathFault.UNCHECKED),  # nobody could ever say
    ({"lists": ["http://not-listed.example/ca.crl"]}, PathFault.UNCHECKED),
    ({"lists": ["ldap://127.0.0.1/cn=ca"]}, PathFault.UNCHECKED),
    ({"lists": ["{peer}/missing.crl"]}, PathFault.UNREACHABLE),
    ({"responders": ["{peer}/missing"], "lists": ["http://not-listed.example/"]}, PathFault.UNREACHABLE),
]


@pytest.mark.parametrize(("wishes", "fault"), UNKNOWN, ids=str)
async def test_what_cannot_be_found_out(peer: HttpPeer, wishes: dict[str, Any], fault: str) -> None:
    written = {name: [one.replace("{peer}", peer.url("")) for one in urls] for name, urls in wishes.items()}
    one = der(**written)
    for mode, wanted in (("soft", PathFault.NONE), ("hard", fault)):
        known = judge(fetching(peer), revocation=mode)
        found = await known.judge(one, (), "encrypt", EPOCH)
        assert (found.fault, found.temporary) == (wanted, wanted == PathFault.UNREACHABLE)
        await known.close()


async def test_many_silent_places_have_one_time_together(peer: HttpPeer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "PATIENCE", 0.2)
    peer.gate = threading.Event()
    one = der(lists=[peer.url(f"/{number}.crl") for number in range(4)], responders=[peer.url("/ocsp")])
    for mode, fault in (("soft", PathFault.NONE), ("hard", PathFault.UNREACHABLE)):
        known = judge(fetching(peer), revocation=mode)
        found = await asyncio.wait_for(known.judge(one, (), "encrypt", EPOCH), PATIENCE)
        assert found.fault == fault
        await known.close()


async def test_a_list_that_is_out_of_date_says_only_who_was_revoked(peer: HttpPeer) -> None:
    good, bad = der(), der()
    old = read_lists(crl(CA, issued(bad), next=NOW - timedelta(days=1)))
    assert (await verdict(bad, revocation="soft", lists=old)).fault == PathFault.REVOKED
    assert (await verdict(good, revocation="soft", lists=old)).trusted
    assert (await verdict(good, revocation="hard", lists=old)).fault == PathFault.UNCHECKED


async def test_an_authority_may_be_revoked_though_nothing_is_known_of_the_leaf() -> None:
    middle = CA.intermediate("Revoked Sub CA")
    one = der(issuer=middle)
    lists = read_lists(crl(CA, Issued(middle.certificate, middle.key)))
    assert (await verdict(one, middle.der, revocation="soft", lists=lists)).fault == PathFault.REVOKED


async def test_a_leaf_may_be_revoked_though_nothing_is_known_of_its_authority() -> None:
    middle = CA.intermediate("Silent Sub CA")
    one = der(issuer=middle)
    lists = read_lists(crl(middle, issued(one)))
    assert (await verdict(one, middle.der, revocation="soft", lists=lists)).fault == PathFault.REVOKED


async def test_nobody_is_asked_about_a_certificate_that_is_not_believed(peer: HttpPeer) -> None:
    one = der(issuer=authority("Stranger"), lists=[peer.url("/ca.crl")], responders=[peer.url("/ocsp")])
    known = judge(fetching(peer), revocation="hard")
    assert (await known.judge(one, (), "encrypt", EPOCH)).fault == PathFault.UNTRUSTED
    assert peer.requests == []
    await known.close()


async def test_a_list_of_a_stranger_says_nothing() -> None:
    one = der()
    forged = read_lists(crl(replace_issuer(CA, authority("Stranger")), issued(one)))
    assert (await verdict(one, revocation="soft", lists=forged)).trusted
    assert (await verdict(one, revocation="hard", lists=forged)).fault == PathFault.UNCHECKED


def replace_issuer(named: Authority, signing: Authority) -> Any:
    """Something that crl() takes for an authority: the name of one and the key of another."""

    class Impostor:
        certificate = named.certificate
        key = signing.key

    return Impostor()


# --- the conformance suite of NIST

POLICIES = {f"DifferentPoliciesTest{number}EE.crt" for number in (4, 5, 7, 8, 9, 12)}  # no policy is valid: refused
# Its key has no parameters of its own; such keys are read by nobody here.
STRICTER = {"ValidDSAParameterInheritanceTest5EE.crt"}
IN_2008 = 1_230_000_000


@pytest.mark.parametrize("part", range(4))  # workers share them
async def test_pkits(part: int) -> None:
    """Every end-entity certificate of PKITS, with its 173 lists at hand. It is of 2001: SHA-1 and RSA-1024."""
    folder = corpus("pkits")
    certificates = {path.name: path.read_bytes() for path in (folder / "certs").iterdir()}
    lists = tuple(one for path in (folder / "crls").iterdir() for one in read_lists(path.read_bytes()))
    settings = JudgeSettings(
        anchors=(certificates["TrustAnchorRootCertificate.crt"],),
        intermediates=tuple(octets for name, octets in certificates.items() if not name.endswith("EE.crt")),
        revocation="hard",
        lists=lists,
        min_rsa_bits=512,
    )
    known = PathJudge(replace(settings, broken=frozenset()), Fetcher(FetchSettings((), False), FakeResolver))
    people = sorted(name for name in certificates if name.endswith("EE.crt"))
    assert (len(certificates), len(lists), len(people)) == (405, 173, 223)
    wrong = []
    for name in people[part::4]:
        good = not name.startswith("Invalid") and name not in POLICIES | STRICTER
        found = await known.judge(certificates[name], (), "sign", IN_2008)
        if found.trusted != good:
            wrong.append((name, found))
    assert wrong == []
    today = PathJudge(replace(settings, min_rsa_bits=2048), Fetcher(FetchSettings((), False), FakeResolver))
    assert not (await today.judge(certificates["ValidCertificatePathTest1EE.crt"], (), "sign", IN_2008)).trusted
