"""Damaged certificates give a verdict, a reason or a declared error; nothing else, whatever octet is wrong."""

from __future__ import annotations

import asyncio
import contextlib

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates
from hypothesis import given
from hypothesis import strategies as st

from mta.adapters.directory.scan import keys
from mta.adapters.judge.fetch import Fetcher, FetchSettings
from mta.adapters.judge.path import JudgeSettings, PathJudge
from mta.model.tls import PathVerdict
from mta.policy.directory import Demands, misfits
from mta.rfc.pkix.bundle import certificates_in
from mta.rfc.pkix.crl import read_lists
from mta.rfc.pkix.person import person_facts
from tests.support.fake_resolver import FakeResolver
from tests.support.people import EPOCH, candidate, der, mailbox
from tests.support.pki import authority, crl

CA = authority("People CA")
MIDDLE = CA.intermediate("Fuzzed Sub CA")
WISHES = {"lists": ["http://a.example/ca.crl"], "responders": ["http://a.example/"], "dns_names": ["a.example"]}
LEAF, ODD = der(), der(utf8_mailboxes=["jörg@bücher.example"], subject_email="bob@x.example", issuer=MIDDLE, **WISHES)
BAG = serialize_certificates([x509.load_der_x509_certificate(one) for one in (LEAF, CA.der)], Encoding.DER)
DAMAGE = st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=3)
JUDGE = PathJudge(
    JudgeSettings((CA.der,), (), "hard", read_lists(crl(CA))), Fetcher(FetchSettings((), False), FakeResolver)
)


def damaged(octets: bytes, damage: list[tuple[int, int]], cut: int) -> bytes:
    found = bytearray(octets)
    for place, octet in damage:
        found[place % len(found)] = octet
    return bytes(found[: len(found) - cut])


@given(st.sampled_from([LEAF, ODD]), DAMAGE, st.sampled_from([0, 0, 0, 1, 40]))
def test_a_certificate(octets: bytes, damage: list[tuple[int, int]], cut: int) -> None:
    found = damaged(octets, damage, cut)
    assert isinstance(misfits(candidate(found), mailbox(), Demands(), EPOCH), tuple)
    with contextlib.suppress(ValueError):
        keys(person_facts(found))
    verdict = asyncio.run(JUDGE.judge(found, (MIDDLE.der,), "encrypt", EPOCH))
    assert isinstance(verdict, PathVerdict)


@given(DAMAGE, st.sampled_from([0, 0, 1]))
def test_an_authority_lying_by(damage: list[tuple[int, int]], cut: int) -> None:
    verdict = asyncio.run(JUDGE.judge(ODD, (damaged(MIDDLE.der, damage, cut),), "sign", EPOCH))
    assert isinstance(verdict, PathVerdict)


@given(DAMAGE, st.sampled_from([0, 0, 1, 40]))
def test_a_bag_of_them(damage: list[tuple[int, int]], cut: int) -> None:
    try:
        certificates_in(damaged(BAG, damage, cut))
    except ValueError:
        return
