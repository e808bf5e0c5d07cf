"""The sender's own pages: who opened what, taking it back, giving it again; and what readers ask and let go of."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.scenarios.test_portal import TEXT, rich
from tests.support.portal import ALICE, BOB, CAROL, CONFIG, EVE, Browser, Portal, running_portal
from tests.support.running_mta import until


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    text = CONFIG.rstrip() + "\n    told: {rights: do-not-forward, tell_owner: true}\n"
    with running_portal(tmp_path_factory.mktemp("my"), text) as running:
        yield running


def owner(portal: Portal, item: str = "", address: str = ALICE) -> Browser:
    """A browser in which the sender has proved who they are."""
    browser = portal.browser()
    place = browser.get(f"/my/{item}" if item else "/my")
    assert place[0] == 303
    status, _, place = browser.post("/my/start", address=address, item=item)
    assert (status, place) == (303, f"/my/code?item={item}" if item else "/my/code")
    assert f'value="{item}"' in browser.get(place)[1] or not item
    status, _, place = browser.post("/my/code", code=portal.code(address), item=item)
    assert (status, place) == (303, f"/my/{item}" if item else "/my")
    return browser


def mail_to(portal: Portal, to: str, after: int, word: bytes) -> bytes:
    """A mail that has come since, with this word in it."""

    def came() -> list[bytes]:
        new = [one.data.replace(b"=\r\n", b"") for one in portal.sink.messages[after:] if one.recipients == (to,)]
        return [data for data in new if word in data]

    found: list[bytes] = until(came, describe=lambda: f"{word!r} comes to {to}; {portal.relay.story()}")
    return found[0]


def test_who_opened_it_and_taking_it_back_and_giving_it_again(portal: Portal):
    mail = portal.mail(TEXT, BOB, CAROL, hidden=(EVE,), label="closed")
    reader = portal.opened(mail)
    portal.browser(**{"User-Agent": "LinkScanner"}).get(f"/m/{mail.links[CAROL]}")
    until(lambda: [event for event in portal.log(mail.item) if event["op"] == "visit"], describe="the scanner is told")
    browser = owner(portal)
    page = browser.get("/my")[1]
    assert f'href="/my/{mail.item}"' in page
    page = browser.get(f"/my/{mail.item}")[1]
    assert (page.count("Opened first on"), page.count("Not opened yet.")) == (1, 2)
    assert "blind copy" in page
    assert re.search(r"nobody known, with LinkScanner</td><td>link fetched, nothing opened<", page)
    assert re.search(r"pass it on.*?<td>not granted</td><td>enforced</td>", page, re.S)
    assert re.search(r"print it.*?<td>not granted</td><td>declared</td>", page, re.S)
    number = next(event["seq"] for event in portal.log(mail.item) if event["op"] == "open")
    assert browser.get(f"/my/{mail.item}/receipt/{number}")[1].startswith("c2sp.org/tlog-proof@v1")

    assert browser.post(f"/my/{mail.item}/revoke", reader=BOB)[::2] == (303, f"/my/{mail.item}?said=revoked")
    status, page = reader.get(f"/v/{mail.item}")
    assert (status, f'action="/v/{mail.item}/ask"' in page) == (410, True)
    before = len(portal.sink.messages)
    assert reader.get(f"/v/{mail.item}/ask")[0] == 405  # a GET asks nobody
    assert reader.post(f"/v/{mail.item}/ask", {"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert reader.post(f"/v/{mail.item}/ask")[2] == f"/v/{mail.item}/asked"
    asked = mail_to(portal, ALICE, before, b"asks to read")
    assert f"http://localhost:{portal.web}/my/{mail.item}".encode() in asked
    assert b"The plan is secret" not in asked

    browser = owner(portal, mail.item)  # by the link of that mail
    page = browser.get(f"/my/{mail.item}")[1]
    assert f"{BOB} asks you" in page
    before = len(portal.sink.messages)
    assert browser.post(f"/my/{mail.item}/add", reader=BOB)[2].endswith("said=added")
    notice = mail_to(portal, BOB, before, b"/m/")
    link = re.search(rb"/m/([a-z2-7]{26})", notice)
    assert link
    assert link[1].decode() != mail.links[BOB]
    assert f"{BOB} asks you" not in browser.get(f"/my/{mail.item}")[1]
    again = portal.browser()
    again.post(f"/m/{link[1].decode()}/start", address=BOB)
    assert again.post(f"/m/{link[1].decode()}/code", code=portal.code(BOB))[2] == f"/v/{mail.item}"
    assert again.post(f"/v/{mail.item}/open")[0] == 303
    told = [(event["op"], event["subject"], event["method"]) for event in portal.log(mail.item)]
    assert ("revoke", ALICE, "code") in told
    assert ("ask", BOB, "code") in told
    assert ("invite", ALICE, "code") in told


def taken_back_alone(portal: Portal, browser: Browser) -> None:
    """A file of a mail, by its own page."""
    mail = portal.mail(rich("<p>x</p>"), BOB)
    page = browser.get(f"/my/{mail.item}")[1]
    files = re.findall(r'class="name" href="/my/(\w+)">([^<]+)<', page)
    assert "plan.txt" in [name for _, name in files]
    file = next(id for id, name in files if name == "plan.txt")
    assert file not in browser.get("/my")[1]  # it stands with its mail
    page = browser.get(f"/my/{file}")[1]
    assert f'href="/my/{mail.item}"' in page
    assert f'action="/my/{file}/add"' not in page
    assert browser.post(f"/my/{file}/add", reader=CAROL)[0] == 422
    assert browser.post(f"/my/{file}/revoke", sure="yes")[0] == 303
    reader = portal.opened(mail)
    assert "plan.txt" in reader.get(f"/v/{mail.item}")[1]
    states = [portal.relay.ask("protected", "show", id)["state"] for id in (mail.item, file)]
    assert states == ["live", "shredded"]


def test_extending_adding_sending_again_and_the_end_for_all(portal: Portal):
    mail = portal.mail(TEXT, BOB, label="mute")
    browser, place = owner(portal), f"/my/{mail.item}"  # five codes an hour for an address, in all of these stories
    taken_back_alone(portal, browser)
    for day in ("", "2001-01-01", "tomorrow", "9999-12-31"):
        assert browser.post(f"{place}/extend", until=day)[0] == 422
    day = "2031-05-04"
    assert browser.post(f"{place}/extend", until=day)[2] == f"{place}?said=extended"
    shown = portal.relay.ask("protected", "show", mail.item)
    assert shown["expires"].startswith("2031-05-05T00:00:00")
    for address in ("", "@fabrikam.example", "internal", "x"):
        assert browser.post(f"{place}/add", reader=address)[0] == 422
    before = len(portal.sink.messages)
    assert browser.post(f"{place}/add", reader="Dora@FABRIKAM.example")[0] == 303
    assert browser.post(f"{place}/again", reader=BOB)[0] == 303
    mail_to(portal, "Dora@fabrikam.example", before, b"/m/")
    mail_to(portal, BOB, before, b"/m/")
    assert browser.post(f"{place}/again", reader=EVE)[0] == 422  # no reader of it
    rights = {
        grant["reader"]: set(grant["rights"]) for grant in portal.relay.ask("protected", "show", mail.item)["grants"]
    }
    assert rights["Dora@fabrikam.example"] == rights[BOB]
    assert browser.post(f"{place}/revoke")[0] == 422  # not without being sure
    assert browser.post(f"{place}/revoke", sure="yes")[2] == f"{place}?said=shredded"
    page = browser.get(place)[1]
    assert "taken back" in page
    assert "<form" not in page.partition("<main")[2]
    assert browser.post(f"{place}/add", reader=CAROL)[0] == 422
    assert browser.post(f"{place}/extend", until=day)[0] == 422


def test_others_learn_nothing_here(portal: Portal):
    mail = portal.mail(TEXT)
    stranger = portal.browser()
    known, unknown = (
        [
            browser.get("/my/sign-in"),
            browser.post("/my/start", address=address),
            (lambda page: (page[0], re.sub(r'class="reference">[A-Z]{4}<', "", page[1])))(browser.get("/my/code")),
            browser.post("/my/code", code="00000000")[0],
            sorted(browser.cookies),
        ]
        for browser, address in ((portal.browser(), ALICE), (portal.browser(), EVE))
    )
    assert known == unknown
    portal.code(ALICE)
    assert not [
        message for message in portal.sink.messages if message.recipients == (EVE,) and b"code is" in message.data
    ]
    reader = portal.opened(mail)  # of the item, but not its owner
    for browser in (stranger, reader):
        assert browser.get(f"/my/{mail.item}")[0] == 303
        assert browser.post(f"/my/{mail.item}/revoke", sure="yes")[2].startswith("/my/sign-in")
    theirs = portal.relay.folder / "theirs.txt"
    theirs.write_text("x")
    words = ("--label", "open", "--to", BOB, "--owner", "anna@contoso.example", "--out", f"{theirs}.tdf")
    other = portal.relay.ask("protect", str(theirs), *words)["item"]
    mine = owner(portal)
    assert other not in mine.get("/my")[1]
    answers = {
        (mine.get(f"/my/{item}"), mine.get(f"/my/{item}/receipt/0"), mine.post(f"/my/{item}/revoke", sure="yes")[:2])
        for item in (other, "a" * 26)
    }
    assert len(answers) == 1
    assert portal.relay.ask("protected", "show", other)["state"] == "live"
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        for path in ("revoke", "extend", "add", "again"):
            assert mine.post(f"/my/{mail.item}/{path}", headers, reader=BOB, sure="yes")[0] == 403
        assert mine.post("/my/start", headers, address=ALICE)[0] == 403
    copy = Browser(portal.web, dict(mine.cookies))
    assert mine.post("/my/logout")[0] == 200
    assert copy.get("/my")[0] == 303


def test_a_reader_lets_go_of_a_message(portal: Portal):
    mail = portal.mail(TEXT, BOB, CAROL)
    browser = portal.opened(mail)
    assert f'href="/v/{mail.item}/delete"' in browser.get(f"/v/{mail.item}")[1]
    assert "Delete it for me" in browser.get(f"/v/{mail.item}/delete")[1]
    assert browser.post(f"/v/{mail.item}/delete", {"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert browser.post(f"/v/{mail.item}/delete")[2] == f"/v/{mail.item}/deleted"
    receipt = re.search(r'href="(/v/\w+/receipt/\d+)"', browser.get(f"/v/{mail.item}/deleted")[1])
    assert receipt
    assert browser.get(receipt[1])[1].startswith("c2sp.org/tlog-proof@v1")
    assert browser.get(f"/v/{mail.item}")[0] == 410
    assert [(e["subject"], e["reader"]) for e in portal.log(mail.item) if e["op"] == "revoke"] == [(BOB, BOB)]
    assert portal.opened(mail, CAROL).get(f"/v/{mail.item}")[0] == 200


def test_the_sender_is_told_of_the_first_opening_where_the_label_says_so(portal: Portal):
    mail, before = portal.mail(TEXT, label="told"), len(portal.sink.messages)
    browser = portal.opened(mail)
    told = mail_to(portal, ALICE, before, b"has opened a protected message")
    assert f"/my/{mail.item}".encode() in told
    browser.post(f"/v/{mail.item}/open")
    portal.opened(mail)  # and in another browser
    browser.post(f"/v/{mail.item}/ask")  # nothing to ask for: it can be read
    opened = [one for one in portal.sink.messages[before:] if one.recipients == (ALICE,)]
    assert len(opened) == 1
