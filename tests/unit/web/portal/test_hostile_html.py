"""Whatever the HTML of a message tries, what is left does nothing (tests/support/vectors_xss.py)."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.web.portal.clean import clean
from tests.support.vectors_xss import HTML, filled

_NEVER = {
    *("script", "style", "iframe", "object", "embed", "applet", "form", "input", "button", "base", "meta", "link"),
    *("svg", "math", "template", "noscript", "video", "audio", "source", "picture", "textarea", "title", "body"),
}
_ACTING = ("srcset", "ping", "background", "id", "name", "formaction", "poster")
_ADDRESS = re.compile(r"(?:https?:|mailto:)", re.IGNORECASE)


class _Judge(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _NEVER:
            self.wrong.append(tag)
        for name, value in attrs:
            text = (value or "").strip()
            bad = name.startswith("on") or name in _ACTING
            bad |= name == "href" and not _ADDRESS.match(text)
            bad |= name == "src" and not text.startswith("data:image/")
            bad |= name == "style" and bool(re.search(r"url|expression|image-set|position|\\|@", text))
            if bad:
                self.wrong.append(f"{tag} {name}={text}")


def judged(html: str) -> list[str]:
    judge = _Judge()
    judge.feed(clean(html).html)
    judge.close()
    return judge.wrong


@pytest.mark.parametrize("number", range(len(HTML)))
def test_nothing_is_left_that_acts(number: int):
    assert judged(filled(HTML[number], 9)) == []
    assert judged(clean(filled(HTML[number], 9)).html) == []  # read again it is no other


@given(st.lists(st.sampled_from(HTML), min_size=2, max_size=4), st.integers(0, 60))
def test_nor_of_several_that_are_cut_and_put_together(parts: list[str], cut: int):
    assert judged("".join(filled(part, 9)[cut if number % 2 else 0 :] for number, part in enumerate(parts))) == []
