"""Whether a chain is what TLSA records say, and where a DANE-TA(2) path may lead."""

from __future__ import annotations

import hashlib
from functools import cache

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mta.model.tls import CertificateFacts
from mta.ports import TlsaRecord
from mta.rfc.dane.match import end_entity, matches, trust_anchors
from mta.rfc.pkix.certificate import opaque_facts
from mta.rfc.pkix.der import public_key_info
from tests.support.pki import Authority, authority, facts, make_key, self_signed

ROOT = authority()
MIDDLE = ROOT.intermediate("Middle CA")
LEAF = MIDDLE.issue(dns_names=["mx.b.example"])
CHAIN = facts(LEAF)
ALONE = facts(self_signed(dns_names=["mx.b.example"]))


def record(usage: int, selector: int, matching: int, der: bytes) -> TlsaRecord:
    part = public_key_info(der) if selector else der
    return TlsaRecord(usage, selector, matching, (bytes, _sha256, _sha512)[matching](part))


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()


EVERY_WAY = [(selector, matching) for selector in (0, 1) for matching in (0, 1, 2)]


@pytest.mark.parametrize(("selector", "matching"), EVERY_WAY)
def test_every_selector_and_matching_type_finds_its_certificate_and_no_other(selector: int, matching: int) -> None:
    ours = record(3, selector, matching, LEAF.der)
    assert end_entity([ours], CHAIN) == ours
    assert end_entity([ours], ALONE) is None
    assert matches(ours, CHAIN[0])
    assert not matches(ours, CHAIN[1])


@pytest.mark.parametrize(("selector", "matching"), EVERY_WAY)
def test_a_trust_anchor_is_found_in_the_chain(selector: int, matching: int) -> None:
    assert MIDDLE.der in trust_anchors([record(2, selector, matching, MIDDLE.der)], CHAIN)


def test_a_record_about_an_issuer_says_nothing_of_the_leaf_and_the_other_way_round() -> None:
    assert end_entity([record(3, 1, 1, MIDDLE.der)], CHAIN) is None
    assert end_entity([record(2, 1, 1, LEAF.der)], CHAIN) is None
    assert trust_anchors([record(2, 1, 1, LEAF.der), record(3, 1, 1, MIDDLE.der)], CHAIN) == ()
    assert trust_anchors([record(2, 0, 0, LEAF.der)], CHAIN) == ()


@pytest.mark.parametrize(("selector", "matching"), EVERY_WAY)
def test_a_self_signed_leaf_is_no_anchor_of_itself(selector: int, matching: int) -> None:
    assert trust_anchors([record(2, selector, matching, ALONE[0].der)], ALONE) == ()


def test_a_root_that_was_not_sent_counts_only_if_the_record_holds_all_of_it() -> None:
    assert trust_anchors([record(2, 0, 1, ROOT.der), record(2, 1, 2, ROOT.der)], CHAIN) == ()
    assert trust_anchors([record(2, 0, 0, ROOT.der)], CHAIN) == (ROOT.der,)
    # the key alone: whom it signed is as good as the anchor
    assert trust_anchors([record(2, 1, 0, ROOT.der)], CHAIN) == (MIDDLE.der,)


@cache
def _issuer(kind: str) -> Authority:
    return Authority(f"CA with {kind}", key=kind)


@pytest.mark.parametrize("kind", ["ec-p256", "ec-p384", "ed25519", "rsa-2048"])
def test_the_bare_key_of_an_anchor_is_recognised_by_what_it_signed(kind: str) -> None:
    issuer = _issuer(kind)
    chain = facts(issuer.issue(dns_names=["mx.b.example"]))
    assert trust_anchors([record(2, 1, 0, issuer.der)], chain) == (chain[0].der,)
    assert trust_anchors([record(2, 1, 0, ROOT.der)], chain) == ()


def test_a_bare_key_that_is_too_short_signs_nothing() -> None:
    issuer = Authority("Weak", key="rsa-1024")
    chain = facts(issuer.issue(dns_names=["mx.b.example"]))
    assert trust_anchors([record(2, 1, 0, issuer.der)], chain) == ()


def test_an_unknown_key_and_a_chain_that_nobody_can_read_match_nothing() -> None:
    odd = opaque_facts(b"\x30\x03\x02\x01\x00")
    key = make_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    records = [
        TlsaRecord(3, 1, 1, bytes(32)),
        TlsaRecord(2, 1, 0, b"\x30\x00"),
        TlsaRecord(2, 1, 0, key),
        TlsaRecord(2, 1, 1, bytes(32)),
        TlsaRecord(3, 1, 0, b"\x30\x00"),
    ]
    chains: list[tuple[CertificateFacts, ...]] = [(odd,), (odd, odd), ()]
    for chain in chains:
        assert end_entity(records, chain) is None
        assert trust_anchors(records, chain) == ()
