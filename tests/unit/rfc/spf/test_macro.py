"""Macros: the examples of RFC 7208 §7.4, and the edges of its grammar."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from mta.rfc.spf.macro import (
    MAX_NAME,
    MacroContext,
    MacroError,
    expand,
    expand_name,
    is_domain_name,
    parse_domain_spec,
    parse_macro_string,
)

V4 = MacroContext("strong-bad", "email.example.com", "email.example.com", ip_address("192.0.2.3"), "mx.example.org")
V6 = MacroContext("strong-bad", "email.example.com", "email.example.com", ip_address("2001:db8::cb01"))

EXAMPLES = [
    ("%{s}", "strong-bad@email.example.com"),
    ("%{o}", "email.example.com"),
    ("%{d}", "email.example.com"),
    ("%{d4}", "email.example.com"),
    ("%{d3}", "email.example.com"),
    ("%{d2}", "example.com"),
    ("%{d1}", "com"),
    ("%{dr}", "com.example.email"),
    ("%{d2r}", "example.email"),
    ("%{l}", "strong-bad"),
    ("%{l-}", "strong.bad"),
    ("%{lr}", "strong-bad"),
    ("%{lr-}", "bad.strong"),
    ("%{l1r-}", "strong"),
    ("%{h}", "mx.example.org"),
    ("%{p}", "unknown"),
    ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
    ("%{lr-}.lp._spf.%{d2}", "bad.strong.lp._spf.example.com"),
    ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
    ("%{d2}.trusted-domains.example.net", "example.com.trusted-domains.example.net"),
    ("%{S}", "strong-bad%40email.example.com"),
    ("a%%b%_c%-d", "a%b c%20d"),
]


@pytest.mark.parametrize(("text", "expected"), EXAMPLES)
def test_the_examples_of_the_standard(text: str, expected: str) -> None:
    assert expand(parse_macro_string(text), V4) == expected


def test_an_ipv6_address_is_its_nibbles() -> None:
    name = expand_name(parse_domain_spec("%{ir}.%{v}._spf.%{d2}"), V6)
    assert name == "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com"


def test_the_letters_of_explanations() -> None:
    context = MacroContext("l", "o.example", "d.example", V6.client, receiver="mx.us.example", now=1767225600.9)
    string = parse_macro_string("%{c} at %{r}, %{t}", explanation=True)
    assert expand(string, context) == "2001:db8::cb01 at mx.us.example, 1767225600"


@pytest.mark.parametrize(
    "text",
    ["%", "%a", "%{", "%{}", "%{a}", "%{d0}", "%{d00}", "%{dr2}", "%{d", "a b", "\x7f", "é", "%{c}", "%{t}", "%{d#}"],
)
def test_what_is_no_macro_string(text: str) -> None:
    with pytest.raises(MacroError):
        parse_macro_string(text)


@pytest.mark.parametrize(
    "text", ["", "foo", "foo.", "foo.1", "foo.-a", "foo.a-", "foo..", "foo.b_c", "foo%%x", "%{d}foo", "foo.é", "%%_"]
)
def test_what_is_no_domain_spec(text: str) -> None:
    with pytest.raises(MacroError):
        parse_domain_spec(text)


@pytest.mark.parametrize(
    "text", ["a.b", "a.b.", "_x.a-1", "%{d}", "x.%{d2}", "a.1b", "!$&'.x", "x%%", "x%_", "x%-", "%%%_"]
)
def test_what_is_a_domain_spec(text: str) -> None:
    assert parse_domain_spec(text).parts


def test_a_long_name_loses_labels_from_the_left() -> None:
    context = MacroContext("x" * 60, ".".join(["y" * 60] * 4), "d.example", V4.client)
    name = expand_name(parse_domain_spec("%{l}.%{o}.d.example"), context)
    assert name == ".".join(["y" * 60] * 4) + ".d.example"
    assert len(name) == MAX_NAME
    assert expand_name(parse_domain_spec("%{o}.dd.example"), context) == ".".join(["y" * 60] * 3) + ".dd.example"


def test_one_endless_label_is_no_name() -> None:
    context = MacroContext("x" * 600, "o.example", "d.example", V4.client)
    assert not is_domain_name(expand_name(parse_domain_spec("%{l}"), context))


@pytest.mark.parametrize(
    "name", ["", ".", "a..b", "a." + "b" * 64, ".a", "a\\.b", "ä.b", "a\n.b", ".".join(["a"] * 128)]
)
def test_what_dns_cannot_hold(name: str) -> None:
    assert not is_domain_name(name)
