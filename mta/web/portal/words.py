"""What pages and mails of the portal say, by language: data in `catalogues/`, one file a language."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from importlib.resources import files

LANGUAGES = ("en", "de")
_FORMS = {"en": "%-d %B %Y, %H:%M UTC", "de": "%d.%m.%Y, %H:%M UTC"}


class Words:
    """The words of one language. A text that is missing is a defect, never an empty place."""

    def __init__(self, language: str, texts: Mapping[str, str]) -> None:
        self.language = language
        self._texts = texts

    def __call__(self, name: str, /, **values: object) -> str:
        """The text of this name with `values` filled in. Raises KeyError."""
        text = self._texts[name]
        return text.format(**values) if values else text

    def known(self, name: str, other: str) -> str:
        """The text of this name, or that of `other` where there is none."""
        return self._texts.get(name) or self._texts[other]

    def moment(self, epoch: float) -> str:
        """A point in time."""
        return datetime.fromtimestamp(epoch, UTC).strftime(_FORMS[self.language])


@lru_cache
def words(language: str) -> Words:
    """The words of a language of LANGUAGES."""
    text = files("mta.web.portal").joinpath("catalogues", f"{language}.json").read_text("utf-8")
    return Words(language, json.loads(text))


def chosen(accept_language: str) -> str:
    """The language that a browser likes best of those there are (RFC 9110 §12.5.4); English where it likes none."""
    best, found = 0.0, LANGUAGES[0]
    for one in accept_language[:400].split(","):
        name, _, parameter = one.strip().partition(";")
        language, weight = name.strip().lower().partition("-")[0], _weight(parameter)
        if language in LANGUAGES and weight > best:
            best, found = weight, language
    return found


def _weight(parameter: str) -> float:
    name, _, value = parameter.strip().partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return min(float(value), 1.0)
    except ValueError:
        return 0.0
