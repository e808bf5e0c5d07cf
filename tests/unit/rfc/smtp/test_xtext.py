"""xtext."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.smtp.xtext import XtextError, decode_xtext


@given(st.binary(max_size=60))
def test_what_was_encoded_is_decoded_to_the_same_octets(value: bytes) -> None:
    assert decode_xtext("".join(f"+{octet:02X}" for octet in value)) == value


def test_visible_letters_stand_for_themselves() -> None:
    assert decode_xtext("bob+2Btag+3D1@x+20y") == b"bob+tag=1@x y"
    assert decode_xtext("a+2bb") == b"a+b"


@pytest.mark.parametrize("text", ["a=b", "a b", "a+", "a+4", "a+4g", "\u00fc", "a\n", "+\u0661\u0661"])
def test_what_is_not_xtext_is_refused(text: str) -> None:
    with pytest.raises(XtextError):
        decode_xtext(text)
