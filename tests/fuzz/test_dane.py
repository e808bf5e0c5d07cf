"""Whatever stands in TLSA records: usable or not, matching or not, never an exception."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mta.ports import TlsaRecord
from mta.rfc.dane.match import end_entity, trust_anchors
from mta.rfc.dane.parse import select, words
from mta.rfc.pkix.certificate import public_key_info
from tests.support.pki import authority, facts

ROOT = authority()
CHAIN = facts(ROOT.intermediate("Middle CA").issue(dns_names=["mx.b.example"]))
PARTS = [part for certificate in CHAIN for part in (certificate.der, public_key_info(certificate.der))]


def mangled(part: bytes, place: int, octet: int) -> bytes:
    place %= len(part)
    return part[:place] + bytes([octet]) + part[place + 1 :]


DATA = st.one_of(
    st.binary(max_size=80),
    st.binary(min_size=32, max_size=32),
    st.sampled_from(PARTS),
    st.builds(mangled, st.sampled_from(PARTS), st.integers(0, 2000), st.integers(0, 255)),
)
RECORDS = st.lists(st.builds(TlsaRecord, st.integers(0, 4), st.integers(0, 2), st.integers(0, 3), DATA), max_size=12)


@given(RECORDS)
def test_any_records(records: list[TlsaRecord]) -> None:
    selection = select(records)
    assert set(selection.usable) <= set(records)
    assert {record.usage for record in selection.usable} <= {2, 3}
    for chosen in (selection.usable, records):  # the matcher must not rely on the selection
        found = end_entity(chosen, CHAIN)
        assert found is None or found.usage == 3
        trust_anchors(chosen, CHAIN)
    assert all(words(record).isprintable() for record in records)


@given(st.integers(0, 1), st.integers(0, 5000), st.integers(0, 255))
def test_a_record_that_differs_in_one_octet_does_not_match(selector: int, place: int, octet: int) -> None:
    part = public_key_info(CHAIN[0].der) if selector else CHAIN[0].der
    other = mangled(part, place, octet)
    found = end_entity([TlsaRecord(3, selector, 0, other)], CHAIN)
    assert (found is not None) == (other == part)
