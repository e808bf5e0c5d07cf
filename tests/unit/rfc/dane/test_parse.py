"""Which TLSA records count: usages, selectors, matching types, digest agility, and what is hostile."""

from __future__ import annotations

import pytest

from mta.ports import TlsaRecord
from mta.rfc.dane.parse import MOST_RECORDS, owner, select, words
from tests.support.pki import authority

SHA256, SHA512 = b"\x01" * 32, b"\x02" * 64
CERTIFICATE = authority().der


@pytest.mark.parametrize(
    ("record", "fault"),
    [
        (TlsaRecord(3, 1, 1, SHA256), ""),
        (TlsaRecord(3, 0, 2, SHA512), ""),
        (TlsaRecord(2, 0, 1, SHA256), ""),
        (TlsaRecord(2, 1, 2, SHA512), ""),
        (TlsaRecord(2, 0, 0, CERTIFICATE), ""),
        (TlsaRecord(3, 1, 0, b"\x30\x00"), ""),
        (TlsaRecord(0, 0, 1, SHA256), "certificate usages 0 and 1 mean nothing in SMTP"),
        (TlsaRecord(1, 1, 1, SHA256), "certificate usages 0 and 1 mean nothing in SMTP"),
        (TlsaRecord(4, 1, 1, SHA256), "its certificate usage is unknown"),
        (TlsaRecord(255, 1, 1, SHA256), "its certificate usage is unknown"),
        (TlsaRecord(3, 2, 1, SHA256), "its selector is unknown"),
        (TlsaRecord(3, 1, 3, SHA256), "its matching type is unknown"),
        (TlsaRecord(3, 1, 255, SHA256), "its matching type is unknown"),
        (TlsaRecord(3, 1, 1, SHA512), "a digest of 64 octets is none"),
        (TlsaRecord(3, 1, 2, SHA256), "a digest of 32 octets is none"),
        (TlsaRecord(3, 1, 1, b""), "a digest of 0 octets is none"),
        (TlsaRecord(2, 0, 0, b"\x30\x03abc"), "it holds neither a certificate nor a key"),
        (TlsaRecord(3, 1, 0, b""), "it holds neither a certificate nor a key"),
    ],
)
def test_a_record_is_usable_or_says_why_not(record: TlsaRecord, fault: str) -> None:
    selection = select([record])
    assert selection.usable == (() if fault else (record,))
    assert selection.unusable == ((f"{words(record)}: {fault}",) if fault else ())


def test_of_several_digests_the_strongest_alone_counts_for_each_usage_and_selector() -> None:
    weak, strong = TlsaRecord(3, 1, 1, SHA256), TlsaRecord(3, 1, 2, SHA512)
    other_selector, other_usage = TlsaRecord(3, 0, 1, SHA256), TlsaRecord(2, 1, 1, SHA256)
    full = TlsaRecord(3, 1, 0, b"\x30\x00")
    assert select([weak, strong, other_selector, full, other_usage]).usable == (
        strong,
        other_selector,
        full,
        other_usage,
    )


def test_an_unusable_digest_outranks_nobody() -> None:
    good, broken = TlsaRecord(3, 1, 1, SHA256), TlsaRecord(3, 1, 2, b"short")
    assert select([broken, good]).usable == (good,)


def test_only_so_many_records_are_looked_at() -> None:
    records = [TlsaRecord(3, 1, 1, number.to_bytes(32, "big")) for number in range(MOST_RECORDS + 5)]
    selection = select(records)
    assert len(selection.usable) == MOST_RECORDS
    assert selection.unusable == ("5 records beyond the first 100 are not looked at",)


def test_names_and_words() -> None:
    assert owner("mx.b.example", 25) == "_25._tcp.mx.b.example"
    assert words(TlsaRecord(3, 1, 1, SHA256)) == "3 1 1 0101010101010101…"
