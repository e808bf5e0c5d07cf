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
