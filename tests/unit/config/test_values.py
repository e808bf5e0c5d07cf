from __future__ import annotations

import base64
from contextlib import suppress
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config import values
from mta.contract.values import HostPort
from mta.model.tls import Pin

SPKI = base64.b64encode(bytes(range(32))).decode()


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("Contoso.Example", "contoso.example"),
        ("contoso.example.", "contoso.example"),
        ("faß.de", "xn--fa-hia.de"),
        ("XN--FA-HIA.DE", "xn--fa-hia.de"),
        ("_mail.x.example", "_mail.x.example"),
        ("localhost", "localhost"),
    ],
)
def test_domains_become_lower_case_a_labels(written: str, name: str):
    assert values.domain_name(written) == name
    assert values.domain_pattern("*." + written) == "*." + name


@pytest.mark.parametrize(
    "written",
    [
        "",
        ".",
        "a..b",
        "-a.b",
        "a b",
        "a@b",
        "192.0.2.1",
        "a" * 64 + ".x",
        ".".join(["a" * 60] * 5),
        "xn--ab",
        "é" * 2000,
        5,
        "a.*.b",
        "*a.b",
        "*",
    ],
)
def test_what_is_no_domain_is_refused(written: object):
    with pytest.raises(values.ValueFault):
        values.domain_pattern(written)


@pytest.mark.parametrize(
    ("written", "network"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.1", "192.0.2.1/32"),
        ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
        ("2001:DB8::/32", "2001:db8::/32"),
        ("::/0", "::/0"),
    ],
)
def test_networks_of_mapped_addresses_are_ipv4(written: str, network: str):
    assert values.network(written) == ip_network(network)


def test_host_bits_are_an_error_that_names_the_network():
    with pytest.raises(values.ValueFault, match="host bits") as caught:
        values.network("10.0.0.1/8")
    assert caught.value.hint == "the network is 10.0.0.0/8"


@pytest.mark.parametrize("written", ["x", "10.0.0.0/33", "10.0.0", "::g", "", 5, "10.0.0.0/-1"])
def test_what_is_no_network_is_refused(written: object):
    with pytest.raises(values.ValueFault):
        values.network(written)


@pytest.mark.parametrize(
    ("written", "pin"),
    [
        (f"spki-sha256:{SPKI}", Pin("spki-sha256", SPKI)),
        (f"spki-sha256:{SPKI.rstrip('=')}", Pin("spki-sha256", SPKI)),
        ("cert-sha256:" + "AB" * 32, Pin("cert-sha256", "ab" * 32)),
        ("cert-sha256:" + ":".join(["AB"] * 32), Pin("cert-sha256", "ab" * 32)),
    ],
)
def test_pins_have_one_form(written: str, pin: Pin):
    assert values.pin(written) == pin


@pytest.mark.parametrize(
    "written",
    [
        "",
        "abc",
        "sha256:" + "ab" * 32,
        "cert-sha256:" + "ab" * 31,
        "cert-sha256:" + "zz" * 32,
        f"spki-sha256:{SPKI[4:]}",
        "spki-sha256:",
        "spki-sha256:!!!!",
        "spki-sha256:" + "é" * 44,
        7,
    ],
)
def test_what_is_no_pin_is_refused(written: object):
    with pytest.raises(values.ValueFault):
        values.pin(written)


@pytest.mark.parametrize(
    ("written", "seconds"),
    [(0, 0), (90, 90), (1.5, 1.5), ("90s", 90), ("30m", 1800), ("4h", 14_400), ("5d", 432_000), ("2 w", 1_209_600)],
)
def test_durations(written: object, seconds: float):
    assert values.duration(written) == seconds


@pytest.mark.parametrize(
    "written", [-1, True, "5", "5 days", "d", "1:30", float("nan"), float("inf"), 1e12, "99999d", []]
)
def test_what_is_no_duration_is_refused(written: object):
    with pytest.raises(values.ValueFault):
        values.duration(written)


@pytest.mark.parametrize(
    ("written", "octets"),
    [
        (0, 0),
        (52_428_800, 52_428_800),
        ("50 MiB", 52_428_800),
        ("10MB", 10_000_000),
        ("64K", 65_536),
        ("1.5 KiB", 1536),
    ],
)
def test_sizes(written: object, octets: int):
    assert values.size(written) == octets


@pytest.mark.parametrize("written", [-1, True, 1.5, "MiB", "50 mib", "2000 GiB", None])
def test_what_is_no_size_is_refused(written: object):
    with pytest.raises(values.ValueFault):
        values.size(written)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("Mail.Contoso.Example:26", HostPort("mail.contoso.example", 26)),
        ("mail.contoso.example", HostPort("mail.contoso.example", 25)),
        ("[2001:DB8::1]:26", HostPort("2001:db8::1", 26)),
        ("[2001:db8::1]", HostPort("2001:db8::1", 25)),
        ("192.0.2.1", HostPort("192.0.2.1", 25)),
        ("[::ffff:192.0.2.1]:25", HostPort("192.0.2.1", 25)),
    ],
)
def test_hosts_with_ports(written: str, found: HostPort):
    assert values.host_port(written, 25) == found


@pytest.mark.parametrize(
    "written", ["", ":25", "a:b", "a:0", "a:65536", "2001:db8::1", "[x]:25", "a:25:26", "[::1", 25]
)
def test_what_is_no_host_with_port_is_refused(written: object):
    with pytest.raises(values.ValueFault):
        values.host_port(written, 25)


def test_a_listener_needs_an_address_and_a_port():
    assert values.host_port("127.0.0.1:0", None, address_only=True) == HostPort("127.0.0.1", 0)
    for written in ("127.0.0.1", "mail.example:25"):
        with pytest.raises(values.ValueFault):
            values.host_port(written, None, address_only=True)


def test_addresses_are_compared_by_their_key():
    assert values.mailbox('"Bob"@Contoso.Example').key == "bob@contoso.example"
    for written in ("bob", "@x", "bob@", "a b@x.example", 3):
        with pytest.raises(values.ValueFault):
            values.mailbox(written)


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none(), st.lists(st.text())))
def test_any_value_gives_a_result_or_a_fault(value: object):
    readers = (values.domain_pattern, values.certificate_name, values.network, values.pin, values.duration)
    for read in (*readers, values.size, values.mailbox, lambda v: values.host_port(v, 25)):
        with suppress(values.ValueFault):
            read(value)
