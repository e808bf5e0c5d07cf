"""What is left of the HTML of a message."""

from __future__ import annotations

import pytest

from mta.rfc.mime.file_kind import picture_type
from mta.rfc.mime.shown import ShownFile
from mta.web.portal.clean import MOST_PICTURES, clean
from tests.scenarios.test_portal import XSS
from tests.support.portal import PNG

PICTURE = ShownFile("image/png", "p.png", PNG, "p@x", True)


@pytest.mark.parametrize("vector", XSS)
def test_nothing_runs_and_nothing_is_loaded(vector: str):
    html = clean(f"<p>before</p>{vector}", (PICTURE,)).html.lower()
    assert html.startswith("<p>before</p>")
    for word in ("script", " on", "evil.example", "<form", "<meta", "<base", "<link", "<object", "<svg", "url("):
        assert word not in html


def test_pictures_of_the_message_stand_in_their_places():
    cleaned = clean('<img src="cid:p@x" alt="a"><img src="CID:p%40x"><img src="cid:other">', (PICTURE,))
    assert cleaned.html.count('src="data:image/png;base64,') == 2
    assert cleaned.blocked == 1


@pytest.mark.parametrize(
    "data", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<html>", b"%PDF-1.7", b"", b"\x89PN", b"BM\0\0"]
)
def test_what_could_run_is_no_picture(data: bytes):
    assert picture_type(data) == ""
    assert "data:" not in clean('<img src="cid:p@x">', (ShownFile("image/png", "p", data, "p@x", True),)).html


def test_pictures_are_bounded_together():
    large = ShownFile("image/png", "p", b"\x89PNG\r\n\x1a\n" + bytes(MOST_PICTURES), "p@x", True)
    assert clean('<img src="cid:p@x">', (large,)) == clean('<img src="cid:p@x">')


def test_links_say_nothing_of_us_and_styles_stay_plain():
    html = clean('<a href="https://x.example/">x</a><p style="color: rgb(1, 2, 3); position: fixed">y</p>').html
    assert 'rel="noopener noreferrer nofollow"' in html
    assert "rgb(1" in html
    assert "fixed" not in html
    assert clean('<p style="width: expression(alert(1))">z</p>').html == "<p>z</p>"
    assert clean('<a href="cid:p@x">x</a><a href="data:text/html,x">y</a>').html.count("href") == 0
