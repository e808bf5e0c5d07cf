"""Tag lists and DKIM-Signature fields: what is one, and the reason why something is none."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.dkim.canonicalize import Canonicalization, Unsigned
from mta.rfc.dkim.parse import Signature, TagError, domain_of, parse_signature, parse_tags
from mta.rfc.mime.header import scan_header

B64 = base64.b64encode(bytes(32)).decode()
GOOD = {
    "v": "1",
    "a": "rsa-sha256",
    "d": "contoso.example",
    "s": "s1",
    "h": "From:To",
    "bh": B64,
    "b": B64,
}


def parse(**changes: str | None) -> Signature:
    tags = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    text = "; ".join(f"{name}={value}" for name, value in tags.items())
    block = scan_header(f"DKIM-Signature: {text}\r\n\r\n".encode(), 10_000)
    field = block.fields[0]
    return parse_signature(field, block.raw, parse_tags(block.raw[field.value_start : field.end]))


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        (b"a=1", {"a": b"1"}),
        (b" a = 1 ;\tb=2;", {"a": b"1", "b": b"2"}),
        (b"a=1; ", {"a": b"1"}),
        (b"a=;b=x", {"a": b"", "b": b"x"}),
        (b"a=1\r\n 2;\r\n\tb_9=x=y", {"a": b"1 2", "b_9": b"x=y"}),
        (b"A=1;a=2", {"A": b"1", "a": b"2"}),
        ("i=ü@x".encode(), {"i": "ü@x".encode()}),
        (b"", {}),
    ],
)
def test_a_tag_list_is_read(text: bytes, tags: dict[str, bytes]) -> None:
    assert parse_tags(text) == tags


@pytest.mark.parametrize(
    "text",
    [
        *(b"a", b"a=1;;b=2", b";a=1", b"a=1;;", b"=1", b"1a=1", b"a-b=1", b"a b=1", b"a=1;a=2", b"a=\x01", b"a=\x7f"),
        *(b"a=\xff", b"a=1\rx", b"a=1\nx", "ä=1".encode(), b"a=1;b"),
    ],
)
def test_what_is_no_tag_list_is_an_error(text: bytes) -> None:
    with pytest.raises(TagError):
        parse_tags(text)


@given(st.binary(max_size=60) | st.text(alphabet="abv=; :\t\r\n1", max_size=40).map(str.encode))
def test_any_octets_are_tags_or_a_declared_error(text: bytes) -> None:
    try:
        tags = parse_tags(text)
    except TagError:
        return
    assert all(value == value.strip(b" \t") for value in tags.values())


def test_a_whole_signature_is_read() -> None:
    signature = parse(c="relaxed/simple", i="anna=20b@mail.contoso.example", l="120", t="5", x="9", q="dns/txt:x")
    assert signature.by.key_name == "s1._domainkey.contoso.example"
    assert (signature.by.timestamp, signature.expiration, signature.covers.body_length) == (5, 9, 120)
    assert signature.identity == "anna b@mail.contoso.example"
    assert signature.covers.headers == (b"from", b"to")
    assert signature.covers.header_form is Canonicalization.RELAXED
    assert signature.covers.body_form is Canonicalization.SIMPLE
    assert signature.by.tag == B64[:12]


def test_what_is_left_out_has_its_default() -> None:
    signature = parse()
    assert signature.identity == "@contoso.example"
    assert signature.covers.header_form is signature.covers.body_form is Canonicalization.SIMPLE
    assert parse(c="relaxed").covers.body_form is Canonicalization.SIMPLE


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        *[({name: None}, f"{name}= is missing") for name in GOOD],
        *[({name: ""}, f"{name}= is empty") for name in GOOD],
        ({"v": "2"}, "v=1"),
        ({"a": "rsa-sha1"}, "RFC 8301"),
        ({"a": "rsa-sha512"}, "not known"),
        ({"a": "RSA-SHA256"}, "not known"),
        ({"c": "nowsp"}, "canonicalization"),
        ({"c": "relaxed/"}, "canonicalization"),
        ({"c": "Relaxed"}, "canonicalization"),
        ({"d": "example"}, "d="),
        ({"d": "legitimate.com(.attacker.com"}, "d="),
        ({"d": "-a.example"}, "d="),
        ({"d": "a..example"}, "d="),
        ({"d": "a.example."}, "d="),
        ({"d": "a.example\x00"}, "octets"),
        ({"d": ".".join(["a" * 63] * 4)}, "d="),
        ({"s": "a b"}, "s="),
        ({"s": ".".join(["a" * 60] * 4)}, "longer"),
        ({"h": "to:subject"}, "From"),
        ({"h": "from::to"}, "field name"),
        ({"h": "from:"}, "field name"),
        ({"h": "fr om"}, "field name"),
        ({"bh": "!!!!"}, "base64"),
        ({"b": "AAA"}, "base64"),
        ({"i": "nobody"}, "no @"),
        ({"i": "a=1@contoso.example"}, "quoted-printable"),
        ({"i": "@fabrikam.example"}, "not under"),
        ({"i": "@xcontoso.example"}, "not under"),
        ({"i": "@example"}, "i="),
        ({"l": "-1"}, "l="),
        ({"l": "1" * 77}, "l="),
        ({"l": ""}, "l="),
        ({"t": "now"}, "t="),
        ({"x": "1" * 13}, "x="),
        ({"t": "9", "x": "9"}, "later"),
        ({"q": "http"}, "q="),
    ],
)
def test_the_reason_is_named(changes: dict[str, str | None], reason: str) -> None:
    with pytest.raises(TagError, match=reason):
        parse(**changes)


@pytest.mark.parametrize(
    ("text", "name"), [("Contoso.EXAMPLE", "contoso.example"), ("bücher.example", "xn--bcher-kva.example")]
)
def test_domains_are_lower_case_a_labels(text: str, name: str) -> None:
    assert domain_of(text.encode(), "d") == name


@pytest.mark.parametrize(
    ("value", "blanked"),
    [
        (b" a=1; b=xyz; c=2", b" a=1; b=; c=2"),
        (b" b = x y\r\n z ;a=1", b" b =;a=1"),
        (b" bh=b; b=x\r\n ", b" bh=b; b="),
        (b" a=1;\r\n\tb=\r\n x=;", b" a=1;\r\n\tb=;"),
        (b" h=a:b; b=x", b" h=a:b; b="),
    ],
)
def test_only_the_value_of_b_is_taken_out(value: bytes, blanked: bytes) -> None:
    block = scan_header(b"X:" + value + b"\r\n\r\n", 1000)
    assert Unsigned.of(block.fields[0], block.raw).value == blanked
