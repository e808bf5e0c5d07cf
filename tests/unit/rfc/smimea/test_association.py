"""What an SMIMEA record vouches for."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.model.directory import Association
from mta.rfc.pkix.der import public_key_info
from mta.rfc.smimea.association import fault, holds_certificate, matches, vouches
from tests.support.people import EPOCH, NOW, der
from tests.support.pki import Authority, authority

DER, OTHER = der(), der(kind="ec-p384")
HASHES = {0: lambda data: data, 1: lambda data: hashlib.sha256(data).digest(), 2: lambda d: hashlib.sha512(d).digest()}


def record(usage: int, selector: int, matching: int, about: bytes = DER) -> Association:
    selected = about if selector == 0 else public_key_info(about)
    return Association(usage, selector, matching, HASHES[matching](selected))


@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("selector", [0, 1])
def test_certificates_and_keys_in_full_and_by_digest(selector: int, matching: int) -> None:
    said = record(3, selector, matching)
    assert matches(said, DER)
    assert not matches(said, OTHER)
    assert vouches(said, DER, (), EPOCH)
    assert not vouches(said, OTHER, (), EPOCH)
    assert holds_certificate(said) == ((selector, matching) == (0, 0))


@pytest.mark.parametrize("usage", [0, 1])
def test_usages_that_need_an_anchor_vouch_for_nobody(usage: int) -> None:
    assert not vouches(record(usage, 0, 0), DER, (), EPOCH)


@pytest.mark.parametrize("matching", [0, 1, 2])
@pytest.mark.parametrize("selector", [0, 1])
def test_an_authority_vouches_for_what_leads_to_it(selector: int, matching: int) -> None:
    root = Authority("TA", key="ec-p256")
    middle = root.intermediate("Middle")
    leaf = der(issuer=middle)
    said = record(2, selector, matching, root.der)
    found_beside = (middle.der, root.der)
    assert vouches(said, leaf, found_beside, EPOCH)
    assert vouches(said, leaf, found_beside[::-1], EPOCH)
    assert vouches(said, leaf, (middle.der,), EPOCH) == ((selector, matching) == (0, 0))  # the record holds the root
    assert not vouches(said, leaf, (root.der,), EPOCH)  # the middle is missing
    assert not vouches(said, der(issuer=authority("Stranger")), found_beside, EPOCH)
    assert not vouches(said, DER, (DER,), EPOCH)


def test_an_authority_must_be_one_in_its_time() -> None:
    old = Authority("Old", not_before=NOW - timedelta(days=9), not_after=NOW - timedelta(days=1))
    leaf = der(issuer=old)
    assert not vouches(record(2, 0, 0, old.der), leaf, (), EPOCH)
    person = der()
    assert not vouches(record(2, 0, 0, person), leaf, (person,), EPOCH)


FAULTS = [
    (replace(record(3, 0, 0), usage=4), "usage 4"),
    (replace(record(3, 0, 0), selector=2), "selector 2"),
    (replace(record(3, 0, 0), matching=3), "matching type 3"),
    (replace(record(3, 0, 1), data=b"short"), "5 octets"),
    (replace(record(3, 0, 0), data=b""), "nothing"),
]


@pytest.mark.parametrize(("said", "words"), FAULTS)
def test_records_that_cannot_be_used(said: Association, words: str) -> None:
    assert words in fault(said)
    assert not vouches(said, DER, (), EPOCH)


@given(st.builds(Association, st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), st.binary(max_size=80)))
def test_no_record_breaks_anything(said: Association) -> None:
    assert vouches(said, DER, (OTHER, b"", b"\x30\x00"), EPOCH) is False
    fault(said)
