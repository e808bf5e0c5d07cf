"""From U-labels to A-labels (RFC 5891 §4), with the case of letters ignored as UTS #46 does; nothing else is mapped."""

from __future__ import annotations

import unicodedata

import idna

MOST = 1000  # octets that are looked at: the work of IDNA grows with the length


def a_labels(text: str) -> str:
    """The name in lower case and A-labels. Raises ValueError.

    What UTS #46 would turn into another letter is refused, not mapped: the Kelvin sign is no k, a full-width letter or
    an ideographic full stop none of ASCII, a soft hyphen is not nothing. Another reader may see another name there.
    """
    if text.isascii():
        return text.lower()
    if len(text.encode("utf-8", "surrogatepass")) > MOST:
        raise ValueError("the domain is too long")
    # idna.IDNAError is a UnicodeError, and that a ValueError
    if idna.uts46_remap(text, std3_rules=False, transitional=False) != _lower(text):
        raise ValueError(f"not an internationalised domain: {text!r} (letters that stand for others)")
    try:
        return idna.encode(text, uts46=True).decode("ascii")
    except (ValueError, IndexError) as problem:
        raise ValueError(f"not an internationalised domain: {text!r} ({problem})") from problem


def _lower(text: str) -> str:
    """In lower case, where no letter beyond ASCII becomes one of it."""
    return unicodedata.normalize("NFC", "".join(map(_lower_one, text)))


def _lower_one(letter: str) -> str:
    low = letter.lower()
    return low if letter.isascii() or not any(each.isascii() for each in low) else letter
