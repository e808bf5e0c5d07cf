"""Which spellings are one mailbox."""

from __future__ import annotations

import pytest

from mta.model.address import ascii_lower, unquoted
from mta.rfc.smtp.address import AddressError, names_a_route, parse_mailbox

KELVIN = "\N{KELVIN SIGN}"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Anna@Contoso.Example", "anna@contoso.example", True),
        ('"anna"@contoso.example', "anna@contoso.example", True),
        ('"an\\na"@contoso.example', "anna@contoso.example", True),
        ('"a\\\\\\"b"@contoso.example', '"a\\\\\\"B"@contoso.example', True),
        ('"a\\\\b"@contoso.example', '"a\\b"@contoso.example', False),
        ("straße@contoso.example", "strasse@contoso.example", False),
        (f"{KELVIN}arl@contoso.example", "karl@contoso.example", False),
        ("\N{LATIN SMALL LETTER LONG S}am@contoso.example", "sam@contoso.example", False),
        ("İda@contoso.example", "i\u0307da@contoso.example", False),
        ("Ärger@contoso.example", "ärger@contoso.example", False),
        ("anna@Bücher.example", "anna@xn--bcher-kva.example", True),
        ("anna@BÜCHER.example", "anna@bu\u0308cher.example", True),
        ("anna@straße.example", "anna@strasse.example", False),
        ('"postmaster@x"@contoso.example', "postmaster@contoso.example", False),
    ],
)
def test_two_spellings(one: str, other: str, same: bool) -> None:
    assert (parse_mailbox(one).key == parse_mailbox(other).key) is same


@pytest.mark.parametrize(
    "domain",
    [
        f"{KELVIN}.example",
        "ｅxample.example",
        "a\u3002example",
        "ex\u00adample.example",
        "ﬁ.example",
        "İ.example",
        "ſ.example",
        "a" * 400 + "ü.example",
    ],
)
def test_a_domain_of_letters_that_stand_for_others_is_none(domain: str) -> None:
    with pytest.raises(AddressError):
        parse_mailbox(f"anna@{domain}")


def test_lower_case_is_that_of_ascii() -> None:
    assert ascii_lower(f"AZaz@[`{KELVIN}ÄßİS") == f"azaz@[`{KELVIN}Äßİs"
    assert unquoted('"a\\@b"') == "a@b"
    assert unquoted('"') == '"'


@pytest.mark.parametrize(
    ("text", "routed"),
    [
        ("x%far.example@contoso.example", True),
        ('"x@far.example"@contoso.example', True),
        ("far!x@contoso.example", True),
        ('"x%far.example"@contoso.example', True),
        ('"far::x"@contoso.example', True),
        ('"x\\@far"@contoso.example', True),
        ("x+far=far.example@contoso.example", False),
        ('"x y"@contoso.example', False),
    ],
)
def test_a_local_part_may_hold_a_route(text: str, routed: bool) -> None:
    assert names_a_route(parse_mailbox(text)) is routed
