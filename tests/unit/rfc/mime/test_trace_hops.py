"""Which host a Received field says the message was taken from."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.mime.header import scan_header
from mta.rfc.mime.trace_hops import MOST, traced_hops


def hops(*values: bytes) -> list[tuple[str, str]]:
    raw = b"".join(b"Received: " + value + b"\r\n" for value in values) + b"\r\nbody\r\n"
    return [(hop.helo, str(hop.address or "")) for hop in traced_hops(scan_header(raw, len(raw)))]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"from a.example (b.example [192.0.2.1]) by c.example; x", ("a.example", "192.0.2.1")),
        (b"FROM a.example (b.example [192.0.2.1]) by c.example", ("a.example", "192.0.2.1")),
        (b"from a.example (b.example [IPv6:2001:db8::1]) by c.example", ("a.example", "2001:db8::1")),
        (b"from a.example (b.example [ipv6:2001:db8::1]) by c.example", ("a.example", "2001:db8::1")),
        (b"from a.example ([IPv6:::ffff:192.0.2.1]) by c.example", ("a.example", "192.0.2.1")),
        (b"from a.example\r\n\t(b.example [192.0.2.1])\r\n\tby c.example", ("a.example", "192.0.2.1")),
        (b"from [192.0.2.1] by c.example", ("[192.0.2.1]", "192.0.2.1")),
        (b"from [203.0.113.9] (unknown [192.0.2.1]) by c.example", ("[203.0.113.9]", "192.0.2.1")),
        (b"from a.example (192.0.2.1) by c.example with Microsoft SMTP Server", ("a.example", "192.0.2.1")),
        (b"from a.example (2001:db8::1) by c.example", ("a.example", "2001:db8::1")),
        (b"from a.example ([192.0.2.1] helo=x.example) by c.example", ("a.example", "192.0.2.1")),
        (b"from a.example ([192.0.2.1]:2525 helo=x.example) by c.example", ("a.example", "192.0.2.1")),
        (b"from [192.0.2.1] (helo=x.example) by c.example", ("[192.0.2.1]", "192.0.2.1")),
        (b"from a.example (b.example [192.0.2.1] (may be forged)) by c.example", ("a.example", "192.0.2.1")),
        (b"by c.example with HTTP", ("", "")),
        (b"from a.example by c.example", ("a.example", "")),
        (b"from a.example (b.example) by c.example", ("a.example", "")),
        (b"from a.example ([192.0.2.999]) by c.example", ("a.example", "")),
        (b"from a.example ([192.0.2.1] by c.example", ("a.example", "")),
        (b"(fetched) from a.example ([192.0.2.1])", ("", "")),
        (b"", ("", "")),
    ],
)
def test_the_forms_that_mail_servers_write(value: bytes, expected: tuple[str, str]) -> None:
    """RFC 5321 §4.4, and what Exim, Sendmail and Exchange make of it."""
    assert hops(value) == [expected]


@pytest.mark.parametrize(
    ("value", "address"),
    [
        (b"from [192.0.2.1] (helo=[203.0.113.9]) by c.example", "192.0.2.1"),
        (b"from a.example ([192.0.2.1] helo=[203.0.113.9]) by c.example", "192.0.2.1"),
        (b"from [203.0.113.9] (b.example [192.0.2.1] (may be forged)) by c.example", "192.0.2.1"),
        (b"from a.example ([203.0.113.9]@b.example [192.0.2.1]) by c.example", "192.0.2.1"),
        (b"from unknown (HELO [203.0.113.9]) (192.0.2.1) by c.example", ""),
        (b"from [203.0.113.9] (HELO x) (192.0.2.1) by c.example", ""),
        (b"from [203.0.113.9] (a (b (c)) [192.0.2.1]) by c.example", ""),
        (b"from [203.0.113.9] (b.example) by c.example", ""),
        (b"from [203.0.113.9] (" + b"x" * 500 + b" [192.0.2.1]) by c.example", ""),
    ],
)
def test_what_a_client_says_of_itself_is_never_its_address(value: bytes, address: str) -> None:
    assert hops(value)[0][1] == address


def test_the_latest_hop_comes_first_and_their_number_is_bounded() -> None:
    assert hops(b"from b ([192.0.2.2]) by c", b"from a ([192.0.2.1]) by b") == [("b", "192.0.2.2"), ("a", "192.0.2.1")]
    assert len(hops(*[b"from a ([192.0.2.1]) by b"] * (MOST + 20))) == MOST


@given(st.text("fromab.:[]()=192 IPv6\t\\", max_size=80))
def test_whatever_a_field_says_is_read(text: str) -> None:
    [(helo, address)] = hops(b"from " + text.encode())
    assert len(helo) <= 255
    assert not address or ip_address(address)
