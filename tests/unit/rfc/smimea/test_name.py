"""Where records about a mailbox stand."""

from __future__ import annotations

import hashlib

import pytest

from mta.rfc.smimea.name import cert_name, smimea_names
from tests.support.people import mailbox


def test_the_name_is_the_digest_of_the_local_part() -> None:
    # RFC 8162 §3: hugh@example.com
    assert smimea_names(mailbox("hugh@example.com")) == (
        "c93f1e400f26708f98cb19d936620da35eec8f72e57f9eec01c1afd6._smimecert.example.com",
    )


def test_the_spelling_of_the_address_comes_first_then_small_letters() -> None:
    names = smimea_names(mailbox("Bob.B@Example.COM"))
    assert [name.partition(".")[2] for name in names] == ["_smimecert.example.com"] * 2
    assert [name[:56] for name in names] == [hashlib.sha256(one).hexdigest()[:56] for one in (b"Bob.B", b"bob.b")]


def test_quotes_are_no_part_and_text_is_utf_8() -> None:
    assert smimea_names(mailbox('"a b"@x.example'))[0][:56] == hashlib.sha256(b"a b").hexdigest()[:56]
    name = smimea_names(mailbox("jörg@bücher.example"))[0]
    assert name == hashlib.sha256("jörg".encode()).hexdigest()[:56] + "._smimecert.xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("bob@x.example", "bob.x.example"),
        ("bob.b@x.example", r"bob\046b.x.example"),
        ('"a b"@x.example', r"a\032b.x.example"),
        ("jörg@x.example", ""),
        (f"{'a' * 64}@x.example", ""),
    ],
)
def test_cert_records_stand_where_soa_would_write_the_mailbox(address: str, name: str) -> None:
    assert cert_name(mailbox(address)) == name
