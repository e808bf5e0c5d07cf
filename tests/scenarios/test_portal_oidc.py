"""Readers sign in at their own organisation: for its own domains, in the browser that began, once."""

from __future__ import annotations

import html
import http.client
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.scenarios.test_portal import TEXT
from tests.support.issuer import SmallIssuer, small_issuer
from tests.support.portal import BOB, CAROL, CONFIG, Browser, Portal, running_portal

SECRET = "s3cret+/="


@pytest.fixture(scope="module")
def issuer() -> Iterator[SmallIssuer]:
    with small_issuer() as running:
        running.secret = "s3cret%2B%2F%3D"  # RFC 6749 §2.3.1: encoded as in a form
        yield running


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory, issuer: SmallIssuer) -> Iterator[Portal]:
    folder = tmp_path_factory.mktemp("oidc")
    (folder / "secret").write_text(f"{SECRET}\n")
    (folder / "secret").chmod(0o600)
    identity = f'{{name: Fabrikam, issuer: "{issuer.url}", client_id: mta, domains: [fabrikam.example]'
    with running_portal(folder, f"{CONFIG}  identities: [{identity}, client_secret_file: secret}}]\n") as running:
        yield running


def to_the_issuer(browser: Browser, link: str) -> str:
    """From the first page to the issuer's address."""
    assert 'action="/m/' in browser.get(f"/m/{link}")[1]
    status, _, place = browser.post(f"/m/{link}/oidc/0")
    assert (status, place) == (303, f"/m/{link}/oidc")
    found = re.search(r'id="on" href="([^"]+)"', browser.get(place)[1])
    assert found
    return html.unescape(found[1])


def signed_in(url: str) -> str:
    """Back from the issuer: the path of ours that it sends the browser to."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    connection.request("GET", f"{parts.path}?{parts.query}")
    place = connection.getresponse().headers["Location"]
    connection.close()
    back = urlsplit(place)
    return f"{back.path}?{back.query}"


def test_signed_in_at_home_and_read(portal: Portal, issuer: SmallIssuer):
    issuer.person, issuer.says = "bob@FABRIKAM.example", {}
    mail = portal.mail(TEXT)
    browser = portal.browser()
    browser.cookies["ms"] = "z" * 26  # planted
    place = to_the_issuer(browser, mail.links[BOB])
    asked = parse_qs(urlsplit(place).query)
    assert (asked["tenant"], asked["response_type"], asked["code_challenge_method"]) == (["1"], ["code"], ["S256"])
    assert asked["redirect_uri"] == [f"http://localhost:{portal.web}/oidc/callback"]
    back = signed_in(place)
    stranger = portal.browser()  # whoever is led here with somebody else's answer is not that somebody
    assert stranger.get(back)[0] == 403
    place = to_the_issuer(browser, mail.links[BOB])
    back = signed_in(place)
    status, page = browser.get(back)
    assert status == 200
    assert f'url=/v/{mail.item}"' in page
    assert browser.cookies["ms"] != "z" * 26
    assert browser.get(back)[0] == 403  # once
    assert browser.post(f"/v/{mail.item}/open")[0] == 303
    assert "The plan is secret." in browser.get(f"/v/{mail.item}")[1]
    opened = [event for event in portal.log(mail.item) if event["op"] == "open"]
    assert [(one["subject"], one["method"]) for one in opened] == [(BOB, "oidc Fabrikam")]


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("another reader", {"email": CAROL}),
    ("of another domain", {"email": "alice@contoso.example"}),
    ("not verified", {"email_verified": False}),
    ("no address", {"email": None}),
    ("another sign-in", {"nonce": "n"}),
    ("without a nonce", {"nonce": None}),
    ("for somebody else", {"aud": "other"}),
    ("for several, of another party", {"aud": ["mta", "other"], "azp": "other"}),
    ("for several, of nobody", {"aud": ["mta", "other"]}),
    ("expired", {"exp": 1_000_000_000}),
    ("of another issuer", {"iss": "https://evil.example"}),
    ("of nobody", {"sub": None}),
]


def test_what_an_issuer_says_wrongly_opens_nothing(portal: Portal, issuer: SmallIssuer):
    mail, answers = portal.mail(TEXT), {}
    for name, says in REFUSED:
        issuer.person, issuer.says = BOB, says
        browser = portal.browser()
        back = signed_in(to_the_issuer(browser, mail.links[BOB]))
        answers[name] = (browser.get(back), sorted(browser.cookies))
        assert browser.get(f"/v/{mail.item}")[0] == 403
    issuer.person, issuer.says = BOB, {}
    browser = portal.browser()  # an unknown link: the same to the last letter
    answers["unknown"] = (browser.get(signed_in(to_the_issuer(browser, "a" * 26))), sorted(browser.cookies))
    assert len({repr(page) for page, _ in answers.values()}) == 1, answers
    assert answers["unknown"] == answers["another reader"]
    assert answers["unknown"][0][0] == 403
    assert not [event for event in portal.log(mail.item) if event["op"] not in ("protect", "visit")]


def test_answers_that_were_made_up(portal: Portal, issuer: SmallIssuer):
    issuer.person, issuer.says = BOB, {}
    mail = portal.mail(TEXT)
    for change in (
        lambda back: back.replace("state=", "state=x"),
        lambda back: back.replace("code=", "code=x"),
        lambda back: back.replace("iss=http", "iss=https"),  # the answer of another issuer (RFC 9207)
        lambda _: "/oidc/callback",
        lambda back: re.sub(r"code=\w+", "error=access_denied", back),
    ):
        browser = portal.browser()
        back = signed_in(to_the_issuer(browser, mail.links[BOB]))
        assert browser.get(change(back))[0] == 403
        assert "ms" not in browser.cookies
    browser = portal.browser()
    assert browser.post(f"/m/{mail.links[BOB]}/oidc/0", {"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert browser.post(f"/m/{mail.links[BOB]}/oidc/7")[0] == 403
    assert browser.get(f"/m/{mail.links[BOB]}/oidc")[0] == 303
