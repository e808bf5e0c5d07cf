"""The catalogues are whole, and browsers get the language they like."""

from __future__ import annotations

import json
import re
from importlib.resources import files

import pytest

from mta.web.portal.words import LANGUAGES, chosen, words


def catalogue(language: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(
        files("mta.web.portal").joinpath("catalogues", f"{language}.json").read_text("utf-8")
    )
    return found


def test_every_language_says_everything_with_the_same_places():
    known = catalogue("en")
    for language in LANGUAGES:
        other = catalogue(language)
        assert list(other) == list(known)
        for name, text in other.items():
            assert text.strip(), name
            assert set(re.findall(r"\{(\w+)\}", text)) == set(re.findall(r"\{(\w+)\}", known[name])), name


def test_every_text_that_a_page_names_is_there():
    known = catalogue("en")
    for template in files("mta.web.portal").joinpath("pages").iterdir():
        for name in re.findall(r'\bt\("([a-z.]+)"', template.read_text("utf-8")):
            assert name in known, f"{template.name}: {name}"


@pytest.mark.parametrize(
    ("told", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-CH,de;q=0.9,en;q=0.8", "de"),
        ("en-GB,de;q=0.9", "en"),
        ("fr,de;q=0.1", "de"),
        ("fr", "en"),
        ("de;q=0", "en"),
        ("de;q=x", "en"),
        ("*", "en"),
        (",;q,=,", "en"),
    ],
)
def test_language(told: str, language: str):
    assert chosen(told) == language


def test_moments():
    assert words("en").moment(0) == "1 January 1970, 00:00 UTC"
    assert words("de").moment(0) == "01.01.1970, 00:00 UTC"
