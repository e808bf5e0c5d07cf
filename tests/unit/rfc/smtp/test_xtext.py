"""xtext."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.rfc.smtp.xtext import XtextError, decode_xtext, encode_xtext


@given(st.binary(max_size=60))
def test_what_was_encoded_is_decoded_to_the_same_octets(value: bytes) -> None:
    encoded = encode_xtext(value)
    assert decode_xtext(encoded) == value
    assert all("!" <= sign <= "~" and sign != "=" for sign in encoded)


def test_only_what_must_be_armoured_is() -> None:
    assert encode_xtext(b"bob+tag=1@x y") == "bob+2Btag+3D1@x+20y"
    assert decode_xtext("a+2bb") == b"a+b"


@pytest.mark.parametrize("text", ["a=b", "a b", "a+", "a+4", "a+4g", "\u00fc", "a\n", "+\u0661\u0661"])
def test_what_is_not_xtext_is_refused(text: str) -> None:
    with pytest.raises(XtextError):
        decode_xtext(text)
