"""A second proof of who the reader is: by an app, a passkey, a text message, a phrase; and who is held without one."""

from __future__ import annotations

import json
import re
import smtplib
from base64 import b32decode
from collections.abc import Iterator
from typing import Any

import pytest

from tests.scenarios.test_portal import TEXT
from tests.support.authenticator import Authenticator
from tests.support.http_peer import HttpPeer, http_peer
from tests.support.portal import ALICE, BOB, CAROL, CONFIG, EVE, Browser, Mail, Portal, running_portal
from tests.support.running_mta import until

from mta.rfc.otp.totp import STEP, hotp  # isort: skip

MARKED = """
    app: {rights: co-author, second_channel: demanded}
    text: {rights: co-author, second_channel: demanded, channels: [sms]}
    word: {rights: co-author, second_channel: demanded, channels: [phrase]}
  sms:
    url: "http://127.0.0.1:{gateway}/send"
    token_file: sms.token
    numbers: {bob@fabrikam.example: "+49 170 1234567"}
  triggers:
    - {header: {X-Mark: text}, label: text}
    - {header: {X-Mark: word}, label: word}
"""
TEXTED = b"X-Mark: text\r\n"


@pytest.fixture(scope="module")
def gateway() -> Iterator[HttpPeer]:
    with http_peer() as running:
        running.answers["/send"] = b"{}"
        yield running


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory, gateway: HttpPeer) -> Iterator[Portal]:
    folder = tmp_path_factory.mktemp("second")
    (folder / "sms.token").write_text("t0ken\n")
    (folder / "sms.token").chmod(0o600)
    text = CONFIG.rstrip() + MARKED.replace("{gateway}", str(gateway.port))
    text = text.replace("tls: {level: none}", "tls: {level: none}, protect: {when: triggers, label: open}")
    text = text.replace("connectors:", 'connectors:\n  internal: {relay: true, inbound: {networks: ["127.0.0.1/32"]}}')
    with running_portal(folder, text) as running:
        yield running


def methods(portal: Portal, item: str, operation: str = "open") -> list[tuple[str, str]]:
    return [(event["method"], event["result"]) for event in portal.log(item) if event["op"] == operation]


def sent(portal: Portal, to: list[str], *header: bytes) -> str:
    """The link in the notice that the first reader gets of a mail that is sent now."""
    before = len(portal.sink.messages)
    with smtplib.SMTP("127.0.0.1", portal.relay.port) as client:
        client.sendmail(ALICE, to, b"".join(header) + TEXT)

    def came() -> str:
        for one in portal.sink.messages[before:]:
            found = re.search(rb"/m/([a-z2-7]{26})", one.data.replace(b"=\r\n", b""))
            if one.recipients == (to[0],) and found:
                return found[1].decode()
        return ""

    link: str = until(came, describe=lambda: f"a notice for {to[0]} comes; {portal.relay.story()}")
    return link


def now(portal: Portal) -> float:
    return float(portal.log()[-1]["time"])


def test_an_app_is_demanded_set_up_and_asked_for(portal: Portal):
    mail = portal.mail(TEXT, label="app")
    browser = portal.prove(mail)
    session = browser.cookies["ms"]
    for path in ("", "/body", "/text", "/message.tdf", "/log", "/reply"):
        status, page = browser.get(f"/v/{mail.item}{path}")
        assert (status, "secret" in page) == (303, False)
    assert browser.post(f"/v/{mail.item}/open")[::2] == (303, f"/v/{mail.item}/second")
    page = browser.get(f"/v/{mail.item}/second")[1]
    assert "asks for a second proof" in page
    assert "Go on without" not in page
    page = browser.get(f"/v/{mail.item}/second/app")[1]
    secret = re.search(r'id="secret">([A-Z2-7 ]+)<', page)
    assert secret
    key = b32decode(secret[1].replace(" ", ""))
    assert browser.post(f"/v/{mail.item}/second/app", code="000000")[0] == 403
    code = hotp(key, int(now(portal) // STEP))
    assert browser.post(f"/v/{mail.item}/second/app", code=f"{code[:3]} {code[3:]}")[::2] == (303, f"/v/{mail.item}")
    assert browser.cookies["ms"] != session
    assert Browser(portal.web, {"ms": session}).get(f"/v/{mail.item}")[0] == 403
    assert browser.post(f"/v/{mail.item}/open")[0] == 303
    assert "The plan is secret." in browser.get(f"/v/{mail.item}")[1]
    assert methods(portal, mail.item) == [("code+totp", "permitted")]
    again = portal.prove(mail)  # the mailbox alone opens nothing from now on, and adds no other app
    assert again.get(f"/v/{mail.item}/second/app")[0] == 303
    page = again.get(f"/v/{mail.item}/second")[1]
    assert 'action="/v/' in page
    assert "Set up an authenticator app" not in page
    assert again.post(f"/v/{mail.item}/second/totp", code=code)[0] == 403  # used
    assert again.post(f"/v/{mail.item}/open")[2] == f"/v/{mail.item}/second"
    portal.relay.command("protected", "channels", BOB, "--forget", check=True)
    assert portal.relay.ask("protected", "channels", BOB) == []


def test_a_passkey_through_the_page_s_script_s_requests(portal: Portal):
    mail = portal.mail(TEXT, CAROL, label="app")
    browser = portal.prove(mail, CAROL)
    status, page, headers = browser.ask("GET", f"/v/{mail.item}/second")
    assert status == 200
    assert b'<script src="/passkey.js" defer>' in page
    assert "script-src 'self'; connect-src 'self'" in headers["content-security-policy"]
    mine = Authenticator(f"http://localhost:{portal.web}")
    place = f"/v/{mail.item}/second/passkey"
    options = browser.ask("POST", f"{place}/new/options", b"")[1]
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert browser.ask("POST", f"{place}/new", mine.make(options.decode()), foreign)[0] == 403
    status, answer, _ = browser.ask("POST", f"{place}/new", mine.make(options.decode()))
    assert (status, json.loads(answer)) == (200, {"go": f"/v/{mail.item}"})
    again = portal.prove(mail, CAROL)
    options = again.ask("POST", f"{place}/options", b"")[1]
    assert again.ask("POST", place, mine.use(options.decode()))[0] == 200
    assert again.post(f"/v/{mail.item}/open")[0] == 303
    assert methods(portal, mail.item) == [("code+passkey", "permitted")]


def proved_by_link(portal: Portal, link: str, reader: str) -> tuple[Browser, Mail]:
    browser = portal.browser()
    browser.post(f"/m/{link}/start", address=reader)
    place = browser.post(f"/m/{link}/code", code=portal.code(reader))[2]
    return browser, Mail(place.rpartition("/")[2], {reader: link})


def test_without_a_number_that_recipient_alone_is_held(portal: Portal, gateway: HttpPeer):
    browser, mail = proved_by_link(portal, sent(portal, [BOB, EVE], TEXTED), BOB)
    assert "\u202667" in browser.get(f"/v/{mail.item}/second")[1]
    assert browser.post(f"/v/{mail.item}/second/sms/send")[0] == 303
    method, _, _, body = gateway.requests[-1]
    told: dict[str, Any] = json.loads(body)
    assert (method, told["to"]) == ("POST", "+491701234567")
    code = re.search(r"\d{6}", told["text"])
    assert code
    assert browser.post(f"/v/{mail.item}/second/sms", code=code[0])[2] == f"/v/{mail.item}"
    browser.post(f"/v/{mail.item}/open")
    assert methods(portal, mail.item) == [("code+sms", "permitted")]
    lacks = "no telephone number for eve@tailspin.example"
    until(lambda: lacks in json.dumps(portal.relay.ask("trace", "--to", EVE)), describe="trace says what is missing")
    file = portal.relay.folder / "marked.eml"
    file.write_bytes(TEXTED + TEXT)
    words = ("--from", ALICE, "--to", EVE, "--to", BOB, "--client-ip", "127.0.0.1", "--message", str(file))
    hers, his = (
        one["protect"] for one in json.loads(portal.relay.command("explain", *words, "--json").stdout)["recipients"]
    )
    assert (hers["way"], his["way"]) == ("none", "portal")
    assert lacks in hers["reason"]


def test_a_phrase_that_sender_and_reader_have_agreed_on(portal: Portal):
    header = (b"X-Mark: word\r\n", b"X-Protect-Phrase: Blue Moon\r\n")
    browser, mail = proved_by_link(portal, sent(portal, [CAROL], *header), CAROL)
    assert browser.post(f"/v/{mail.item}/second/phrase", phrase="red moon")[0] == 403
    assert browser.post(f"/v/{mail.item}/second/phrase", phrase="blue  MOON")[0] == 303
    browser.post(f"/v/{mail.item}/open")
    assert methods(portal, mail.item) == [("code+phrase", "permitted")]
    message = browser.ask("GET", f"/v/{mail.item}/message.eml")[1]
    assert b"The plan is secret." in message
    assert b"moon" not in message.lower()
