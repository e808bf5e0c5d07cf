"""PROXY version 2 headers."""

from ipaddress import ip_address

import pytest

from mta.rfc.smtp.proxy import MAX_HEADER, SIGNATURE, ParsedProxy, ProxyError, parse_proxy

V4 = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + (40000).to_bytes(2, "big") + (25).to_bytes(2, "big")
V6 = ip_address("2001:db8::1").packed + ip_address("2001:db8::2").packed + V4[8:]
MAPPED = ip_address("::ffff:192.0.2.1").packed + ip_address("::ffff:198.51.100.2").packed + V4[8:]


def header(command: int, family: int, block: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(block).to_bytes(2, "big") + block


@pytest.mark.parametrize(
    ("family", "block", "source", "destination"),
    [
        (0x11, V4, "192.0.2.1", "198.51.100.2"),
        (0x11, V4 + b"\x03\x00\x04abcd", "192.0.2.1", "198.51.100.2"),
        (0x21, V6, "2001:db8::1", "2001:db8::2"),
        (0x21, MAPPED, "192.0.2.1", "198.51.100.2"),
    ],
)
def test_a_proxied_connection_names_both_ends(family: int, block: bytes, source: str, destination: str) -> None:
    data = header(0x21, family, block)
    expected = ParsedProxy(len(data), False, ip_address(source), 40000, ip_address(destination), 25)
    assert parse_proxy(data + b"EHLO x\r\n") == expected
    for length in range(len(data)):
        assert parse_proxy(data[:length]) is None


@pytest.mark.parametrize("family", [0x00, 0x11, 0x31])
def test_a_local_connection_is_the_balancers_own(family: int) -> None:
    data = header(0x20, family, b"\x04\x00\x01x")
    assert parse_proxy(data) == ParsedProxy(len(data), local=True)


@pytest.mark.parametrize(
    "data",
    [
        b"E",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 40000 25\r\n",
        b"\r\nX",
        header(0x11, 0x11, V4),  # version 1 in binary
        header(0x22, 0x11, V4),  # no such command
        header(0x21, 0x00, b""),  # AF_UNSPEC
        header(0x21, 0x31, b"\0" * 216),  # AF_UNIX
        header(0x21, 0x12, V4),  # UDP
        header(0x21, 0x41, V6),  # no such family
        header(0x21, 0x11, V4[:-1]),
        header(0x21, 0x21, V6[:-1]),
        header(0x21, 0x11, b"")[:16],
        header(0x21, 0x11, b"x" * (MAX_HEADER - 15))[:16],
    ],
)
def test_what_cannot_be_believed_is_refused(data: bytes) -> None:
    with pytest.raises(ProxyError):
        parse_proxy(data)


def test_a_header_of_the_limit_is_read() -> None:
    data = header(0x21, 0x11, V4.ljust(MAX_HEADER - 16, b"\0"))
    assert len(data) == MAX_HEADER
    found = parse_proxy(data)
    assert found is not None
    assert found.length == MAX_HEADER
