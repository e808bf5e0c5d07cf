"""Fields that bear our name are found however they are written."""

from __future__ import annotations

import pytest

from mta.rfc.authres.parse import MethodResult, is_ours, parse_results, read_authserv_id, spans_to_remove
from mta.rfc.mime.header import scan_header

OURS = "mx.us.example"


@pytest.mark.parametrize(
    "value",
    [
        " mx.us.example; spf=pass",
        "mx.us.example;spf=pass",
        " MX.Us.EXAMPLE; spf=pass",
        " mx.us.example. ; spf=pass",
        " mx.us.example 1; spf=pass",
        "\r\n\tmx.us.example\r\n\t; spf=pass",
        ' "mx.us.example"; spf=pass',
        ' "mx.us\\.exam\\ple"; spf=pass',
        ' " mx.us.example "; spf=pass',
        " (a comment) mx.us.example; spf=pass",
        " (nested (comments) \\) \\( here) (two) mx.us.example; spf=pass",
        " mx.us.example(comment); spf=pass",
        " mx.us.example",
        " mx.us.example spf=pass",
        " mx.us.example/x; spf=pass",
        " mx.us.example@x; spf=pass",
        " mx.us.example\x00; spf=pass",
        " ; mx.us.example; spf=pass",
        " (never closed mx.us.example; spf=pass",
        ' "never closed mx.us.example; spf=pass',
        ' "mx.us.\r\n example; spf=pass',
        " <mx.us.example>; spf=pass",
        " \xff\xfe mx.us.example; spf=pass",
    ],
)
def test_a_field_in_our_name(value: str) -> None:
    assert is_ours(value.encode("latin-1"), OURS)


@pytest.mark.parametrize(
    "value",
    [
        " mx.other.example; spf=pass",
        " mx.us.example.other; spf=pass",
        " xmx.us.example; spf=pass",
        " other.example; spf=pass (mx.us.example) smtp.helo=mx.us.example",
        " (mx.us.example) other.example; spf=pass",
        "",
        ";",
        " (",
    ],
)
def test_a_field_of_somebody_else(value: str) -> None:
    assert not is_ours(value.encode("latin-1"), OURS)


def test_the_forged_fields_of_a_message_are_found_as_spans() -> None:
    raw = (
        b"Received: from x\r\n"
        b"Authentication-Results: mx.us.example; dmarc=pass\r\n"
        b"AUTHENTICATION-RESULTS : other.example;\r\n spf=pass\r\n"
        b"Subject: mx.us.example\r\n"
        b"authentication-results:\r\n (x) MX.us.example;\r\n dkim=pass\r\n"
        b"ARC-Authentication-Results: i=1; mx.us.example; dkim=pass\r\n"
        b"Authentication-Results : mx.us.example; spf=pass\r\n"
        b"\r\nAuthentication-Results: mx.us.example; body\r\n"
    )
    block = scan_header(raw, 10_000)
    kept = raw
    for field in reversed(spans_to_remove(block, OURS)):
        kept = kept[: field.start] + kept[field.end :]
    assert kept == (
        b"Received: from x\r\n"
        b"AUTHENTICATION-RESULTS : other.example;\r\n spf=pass\r\n"
        b"Subject: mx.us.example\r\n"
        b"ARC-Authentication-Results: i=1; mx.us.example; dkim=pass\r\n"
        b"\r\nAuthentication-Results: mx.us.example; body\r\n"
    )


def test_the_examples_of_the_standard() -> None:
    """RFC 8601 appendix B."""
    assert parse_results(b" example.org 1; none") is not None
    parsed = parse_results(b" example.com;\r\n\tspf=pass smtp.mailfrom=example.net\r\n")
    assert parsed is not None
    assert parsed.results == (MethodResult("spf", "pass", "", (("smtp.mailfrom", "example.net"),)),)
    parsed = parse_results(
        b"foo.example.net (foobar) 1 (baz);\r\n    dkim (Because I like it) / 1 (One yay) = (wait for it) fail\r\n"
        b"      policy (A dot can go here) . (like that) expired\r\n"
        b"      (this surprised me) = (as I wasn't expecting it) 1362471462\r\n"
    )
    assert parsed is not None
    assert parsed.authserv_id == "foo.example.net"
    assert parsed.results == (MethodResult("dkim", "fail", "", (("policy.expired", "1362471462"),)),)


@pytest.mark.parametrize(
    "value",
    ["", ";", "a", "a b c; spf=pass", "a; spf", "a; =pass", "a; spf=", "a; spf==x", "a; (", 'a; spf="x', "a; spf=x\x00",
     'a; "spf"=pass', "=; spf=pass", "a;;spf=pass", "a 99999999999; spf=pass"],
)  # fmt: skip
def test_what_is_no_field(value: str) -> None:
    assert parse_results(value.encode("latin-1")) is None


def test_a_final_semicolon_is_forgiven() -> None:
    parsed = parse_results(b"a; spf=pass;")
    assert parsed is not None
    assert len(parsed.results) == 1


@pytest.mark.parametrize(
    "value", ["(" * 100_000, "(" * 50_000 + ")" * 50_000 + OURS, '"' + "\\" * 100_000, "a;" * 50_000]
)
def test_long_nonsense_costs_linear_time(value: str) -> None:
    is_ours(value.encode(), OURS)
    parse_results(value.encode())
    assert read_authserv_id("(" * 50_000 + ")" * 50_000 + OURS) == OURS
