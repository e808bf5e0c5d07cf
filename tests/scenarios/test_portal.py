"""A reader without a certificate reads protected mail in a browser: notice's link, address, code, open, read."""

from __future__ import annotations

import email
import email.policy
import re
import smtplib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.vault.attachments import attachment_id
from tests.support.portal import ALICE, BOB, CAROL, CONFIG, EVE, PNG, Browser, Mail, Portal, running_portal
from tests.support.running_mta import until

TEXT = b"From: Alice <alice@contoso.example>\r\nTo: bob@fabrikam.example\r\nCc: carol@fabrikam.example\r\n" + (
    b"Subject: =?utf-8?B?R3LDvMOfZQ==?= from here\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <1@contoso.example>\r\n\r\nThe plan is secret.\r\n"
)


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def rich(html: str, name: str = "plan.txt") -> bytes:
    """A message with HTML, a picture that it names, and two files."""
    import base64

    return (
        b"From: Alice <alice@contoso.example>\r\nTo: bob@fabrikam.example\r\nSubject: <script>alert(1)</script>\r\n"
        b'Content-Type: multipart/mixed; boundary="m"\r\nMIME-Version: 1.0\r\n\r\n--m\r\n'
        b'Content-Type: multipart/related; boundary="r"\r\n\r\n--r\r\nContent-Type: text/html; charset=utf-8\r\n\r\n'
        + html.encode()
        + b"\r\n--r\r\nContent-Type: image/png\r\nContent-ID: <p@x>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(PNG)
        + b"\r\n--r--\r\n--m\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename="
        + f'"{name}"'.encode()
        + b"\r\n\r\n<b>a file</b>\r\n--m\r\nContent-Type: text/html\r\nContent-Disposition: attachment;"
        + b" filename=page.html\r\n\r\n<script>alert(3)</script>\r\n--m--\r\n"
    )


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with running_portal(tmp_path_factory.mktemp("portal")) as running:
        yield running


def test_link_address_code_open_read(portal: Portal):
    mail = portal.mail(TEXT, BOB, CAROL)
    browser = portal.browser()
    status, page = browser.get(f"/m/{mail.links[BOB]}")
    assert status == 200
    assert 'name="address"' in page
    assert not browser.cookies
    status, _, place = browser.post(f"/m/{mail.links[BOB]}/start", address="Bob@Fabrikam.Example")
    assert (status, place) == (303, f"/m/{mail.links[BOB]}/code")
    status, page = browser.get(place)
    assert 'autocomplete="one-time-code"' in page
    assert 'inputmode="numeric"' in page
    code = portal.code(BOB)
    letter = portal.sink.messages[-1]
    reference = re.search(r'class="reference">([A-Z]{4})<', page)
    assert reference
    assert reference[1].encode() in letter.data
    assert letter.sender == ""
    assert b"\r\nAuto-Submitted: auto-generated\r\n" in letter.data
    assert b"From: localhost <postmaster@contoso.example>" in letter.data
    status, _, place = browser.post(f"/m/{mail.links[BOB]}/code", code=f" {code[:4]} {code[4:]} ")
    assert (status, place) == (303, f"/v/{mail.item}")
    status, page = browser.get(place)
    assert "secret" not in page  # the cover: nothing was opened
    assert not [event for event in portal.log(mail.item) if event["op"] == "open"]
    assert browser.get(f"/v/{mail.item}/text")[0] == 303
    assert browser.post(f"/v/{mail.item}/open")[::2] == (303, f"/v/{mail.item}")
    status, page = browser.get(f"/v/{mail.item}")
    assert status == 200
    assert "The plan is secret." in page
    assert "Grüße from here" in page
    assert CAROL in page
    opened = [event for event in portal.log(mail.item) if event["op"] == "open"]
    assert [(one["subject"], one["method"], one["result"]) for one in opened] == [(BOB, "code", "permitted")]
    again = [event for event in portal.log(mail.item) if event["op"] == "read"]
    assert [one["cache"] for one in again] == ["yes"]  # the key of the opening, once more


def test_from_the_sender_to_the_reader_and_back(tmp_path: Path):
    """Nothing of the message is in clear on the way; the answer comes back to the sender's own system."""
    text = CONFIG.replace("tls: {level: none}", "tls: {level: none}, protect: {when: triggers, label: closed}")
    text = text.replace("connectors:", 'connectors:\n  internal: {relay: true, inbound: {networks: ["127.0.0.1/32"]}}')
    text += '  triggers: [{subject: "[secure]", label: closed}]\n'
    with running_portal(tmp_path, text) as portal:
        with smtplib.SMTP("127.0.0.1", portal.relay.port) as client:
            client.sendmail(ALICE, [BOB], TEXT.replace(b"Subject: ", b"Subject: [secure] "))
        notice = until(lambda: [one for one in portal.sink.messages if one.recipients == (BOB,)])[0].data
        assert b"plan is secret" not in notice
        found = re.search(rb"/m/([a-z2-7]{26})", notice.replace(b"=\r\n", b""))
        assert found
        browser, link = portal.browser(), found[1].decode()
        browser.post(f"/m/{link}/start", address=BOB)
        page = browser.get(f"/m/{link}/code")[1]
        letters = re.search(r'class="reference">([A-Z]{4})<', page)
        assert letters
        assert letters[1].encode() in notice  # notice, page and code say the same four letters
        _, _, place = browser.post(f"/m/{link}/code", code=portal.code(BOB))
        browser.post(f"{place}/open")
        page = browser.get(place)[1]
        assert "The plan is secret." in page
        assert "[secure]" not in page
        body, headers = multipart([("text", "", b"Understood.")])
        assert browser.ask("POST", f"{place}/reply", body, headers)[0] == 303
        answer = until(lambda: [one for one in portal.sink.messages if one.recipients == (ALICE,)])[0]
        assert b"Understood." in answer.data
        assert b"In-Reply-To: <1@contoso.example>" in answer.data


def _each_file_has_a_log_of_its_own(portal: Portal, mail: Mail, browser: Browser) -> None:
    """Sealed, downloaded, looked at: in the log of the file, and on the reader's page."""
    file = attachment_id(mail.item, 1)
    told = [(event["op"], event["result"]) for event in portal.log(file)]
    assert told == [("protect", "done"), ("download", "permitted"), ("read", "permitted")]
    assert "downloaded: pl\u00e4n_.txt" in browser.get(f"/v/{mail.item}/log")[1]
    status, sealed, headers = browser.ask("GET", f"/v/{mail.item}/a/1/sealed")
    assert (status, sealed[:2]) == (200, b"PK")
    assert headers["content-disposition"].startswith('attachment; filename="pl_n_.txt.tdf"')
    portal.relay.command("protected", "shred", file, check=True)
    assert browser.get(f"/v/{mail.item}/a/1")[0] == 410
    assert browser.get(f"/v/{mail.item}/message.eml")[0] == 410
    assert browser.get(f"/v/{mail.item}")[0] == 200  # the message stays


def test_the_log_of_the_reader_has_receipts(portal: Portal):
    mail = portal.mail(TEXT, BOB, CAROL)
    portal.opened(mail, CAROL)
    browser = portal.opened(mail)
    status, page = browser.get(f"/v/{mail.item}/log")
    assert status == 200
    assert CAROL not in page
    numbers = re.findall(rf"/v/{mail.item}/receipt/(\d+)", page)
    assert numbers
    status, receipt = browser.get(f"/v/{mail.item}/receipt/{numbers[0]}")
    assert (status, receipt.splitlines()[0]) == (200, "c2sp.org/tlog-proof@v1")
    foreign = next(event["seq"] for event in portal.log(mail.item) if event.get("subject") == CAROL)
    assert browser.get(f"/v/{mail.item}/receipt/{foreign}")[0] == 403


def test_files_come_out_with_the_right_alone(portal: Portal):
    message = rich("<p>Hello <img src='cid:p@x'></p>", "../../pl\u00e4n\u202e.txt")
    free, closed = portal.mail(message), portal.mail(message, label="closed")
    browser = portal.opened(free)
    page = browser.get(f"/v/{free.item}")[1]
    assert f"/v/{free.item}/a/1" in page
    status, body, headers = browser.ask("GET", f"/v/{free.item}/a/1")
    assert (status, body) == (200, b"<b>a file</b>")
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"].startswith('attachment; filename="')
    assert ".." not in headers["content-disposition"]
    assert "sandbox" in headers["content-security-policy"]
    assert browser.ask("GET", f"/v/{free.item}/message.eml")[1] == message
    assert browser.get(f"/v/{free.item}/p/1")[1].count("&lt;b&gt;a file") == 1
    shown = browser.ask("GET", f"/v/{free.item}/p/0/1.png")[1]
    assert shown.startswith(PNG[:8])
    assert shown != PNG  # made anew
    assert browser.get(f"/v/{free.item}/p/0/2")[0] == 422  # it has one page
    assert browser.get(f"/v/{free.item}/p/2")[0] == 422  # HTML is no picture and no text
    assert browser.get(f"/v/{free.item}/a/9")[0] == 403
    _each_file_has_a_log_of_its_own(portal, free, browser)
    browser = portal.opened(closed)
    page = browser.get(f"/v/{closed.item}")[1]
    assert f'/v/{closed.item}/a/1"' not in page
    assert f"{BOB} " in page  # the watermark
    assert 'class="noprint"' in page
    for path in ("a/1", "message.eml"):
        status, told = browser.get(f"/v/{closed.item}/{path}")
        assert (status, "not given you the right" in told) == (403, True)
    status, sealed, _ = browser.ask("GET", f"/v/{closed.item}/message.tdf")
    assert (status, sealed[:2]) == (200, b"PK")
    downloads = [event["result"] for event in portal.log(closed.item) if event["op"] == "download"]
    assert downloads == ["refused", "refused", "permitted"]


XSS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "<a href='javascript:alert(1)'>x</a>",
    "<iframe src='javascript:alert(1)'></iframe>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--><img src=1 onerror=alert(1)>'>",
    "<form action='http://evil.example'><button>x</button></form>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<base href='http://evil.example/'>",
    "<link rel=stylesheet href='http://evil.example/x.css'>",
    "<style>@import 'http://evil.example/x.css';</style>",
    "<p style='background:url(http://evil.example/x)'>x</p>",
    "<img src='http://evil.example/pixel.gif'>",
    "<img srcset='http://evil.example/pixel.gif 1x'>",
    "<video src='http://evil.example/x' autoplay></video>",
    "<object data='http://evil.example/x'></object>",
    "<input autofocus onfocus=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
]


SEEN = "<p>Hello <img src='cid:p@x'><img src='http://evil.example/first.gif'></p>"


def test_html_of_a_message_runs_and_loads_nothing(portal: Portal):
    mail = portal.mail(rich(f"{SEEN}{''.join(XSS)}", "a<script>alert(2)</script>.txt"))
    browser = portal.opened(mail)
    status, body, headers = browser.ask("GET", f"/v/{mail.item}/body")
    policy = headers["content-security-policy"]
    assert status == 200
    assert "default-src 'none'" in policy
    assert policy.startswith("sandbox allow-popups allow-popups-to-escape-sandbox;")
    assert "script" not in policy
    assert b'src="data:image/png;base64,' in body
    for word in (b"<script", b"onerror=", b"onload=", b"onfocus", b"javascript:", b"<form", b"<meta http", b"<base"):
        assert word not in body.lower()
    assert b"evil.example" not in body
    assert b"@media print" not in body  # PRINT was granted
    page = browser.get(f"/v/{mail.item}")[1]
    assert "&lt;script&gt;alert(1)" in page
    assert "<script" not in page
    assert "were not loaded" in page
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in page
    assert "<script" not in browser.get(f"/v/{mail.item}/text")[1]


# --- who one is


def test_known_and_unknown_are_answered_alike(portal: Portal):
    mail = portal.mail(TEXT)
    unknown = "a" * 26
    pairs = [(mail.links[BOB], BOB), (mail.links[BOB], EVE), (unknown, BOB), (unknown, "no address")]
    seen = []
    for link, address in pairs:
        browser = portal.browser()
        first = browser.get(f"/m/{link}")
        started = browser.post(f"/m/{link}/start", address=address)
        form = browser.get(f"/m/{link}/code")
        wrong = browser.post(f"/m/{link}/code", code="00000000")
        reference = re.search(r'class="reference">([A-Z]{4})<', form[1])
        assert reference
        told = [repr(one).replace(link, "L").replace(reference[1], "R") for one in (first, started, form, wrong)]
        seen.append((*told, sorted(browser.cookies)))
    assert all(one == seen[0] for one in seen)
    portal.code(BOB)
    assert not [message for message in portal.sink.messages if message.recipients == (EVE,)]
    strangers = {portal.browser().get(f"/v/{item}") for item in (mail.item, "b" * 26)}
    assert len(strangers) == 1
    assert next(iter(strangers))[0] == 403


def test_a_code_works_in_its_own_browser_alone(portal: Portal):
    mail = portal.mail(TEXT)
    hers, his = portal.browser(), portal.browser()
    link = mail.links[BOB]
    his.post(f"/m/{link}/start", address=BOB)
    code = portal.code(BOB)
    assert hers.post(f"/m/{link}/code", code=code)[0] == 303  # to the address: she has no challenge
    hers.post(f"/m/{link}/start", address=EVE)
    assert hers.post(f"/m/{link}/code", code=code)[0] == 403
    other = portal.mail(TEXT)
    assert his.post(f"/m/{other.links[BOB]}/code", code=code)[2] == f"/m/{other.links[BOB]}"
    assert his.post(f"/m/{link}/code", code=code)[2] == f"/v/{mail.item}"
    assert his.post(f"/m/{link}/code", code=code)[2] == f"/m/{link}"  # once


def test_a_second_request_keeps_the_first_code(portal: Portal):
    mail = portal.mail(TEXT)
    browser, link = portal.browser(), mail.links[BOB]
    browser.post(f"/m/{link}/start", address=BOB)
    first = portal.code(BOB)
    browser.post(f"/m/{link}/start", address=BOB)
    assert portal.code(BOB) != first
    assert browser.post(f"/m/{link}/code", code=first)[2] == f"/v/{mail.item}"


def test_five_wrong_codes_end_a_challenge(portal: Portal):
    mail = portal.mail(TEXT, "dave@fabrikam.example")
    browser, link = portal.browser(), mail.links["dave@fabrikam.example"]
    browser.post(f"/m/{link}/start", address="dave@fabrikam.example")
    code = portal.code("dave@fabrikam.example")
    wrong = "00000000" if code != "00000000" else "11111111"
    assert {browser.post(f"/m/{link}/code", code=wrong)[0] for _ in range(5)} == {403}
    assert browser.post(f"/m/{link}/code", code=code)[0] == 403


def test_a_session_has_a_fresh_name_and_ends_on_the_server(portal: Portal):
    mail, other = portal.mail(TEXT), portal.mail(TEXT)
    browser = portal.browser()
    browser.cookies["ms"] = "z" * 26  # planted
    portal.prove(mail, BOB, browser)
    name = browser.cookies["ms"]
    assert name != "z" * 26
    assert browser.get(f"/v/{other.item}")[0] == 403  # of this item alone
    copy = Browser(portal.web, dict(browser.cookies))
    portal.prove(other, BOB, browser)
    assert browser.cookies["ms"] != name
    assert copy.get(f"/v/{mail.item}")[0] == 403  # the old name is over
    assert browser.get(f"/v/{mail.item}")[0] == 200
    copy = Browser(portal.web, dict(browser.cookies))
    assert browser.post(f"/v/{mail.item}/logout")[0] == 200
    assert copy.get(f"/v/{mail.item}")[0] == 403


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
    ],
)
def test_forms_of_other_pages_are_refused(portal: Portal, headers: dict[str, str]):
    mail = portal.mail(TEXT, "frank@fabrikam.example")
    browser, link = portal.browser(), mail.links["frank@fabrikam.example"]
    assert browser.post(f"/m/{link}/start", headers, address="frank@fabrikam.example")[0] == 403
    assert browser.post(f"/m/{link}/code", headers, code="1")[0] == 403
    assert browser.post(f"/v/{mail.item}/open", headers)[0] == 403
    assert browser.post(f"/v/{mail.item}/logout", headers)[0] == 403
    assert not browser.cookies


def test_a_scanner_opens_nothing_and_burns_no_code(portal: Portal):
    mail = portal.mail(TEXT, "grace@fabrikam.example")
    address, link = "grace@fabrikam.example", mail.links["grace@fabrikam.example"]
    reader = portal.browser()
    reader.post(f"/m/{link}/start", address=address)
    code = portal.code(address)
    scanner = portal.browser(**{"User-Agent": "SafeLinks"})
    for path in (f"/m/{link}", f"/m/{link}/code", f"/v/{mail.item}", f"/v/{mail.item}/body", f"/v/{mail.item}/a/0"):
        scanner.get(path)
    scanner.post(f"/m/{link}/start", address="scanner@tailspin.example")
    scanner.post(f"/m/{link}/code", code="12345678")
    scanner.post(f"/v/{mail.item}/open")
    fetched = until(lambda: [event for event in portal.log(mail.item) if event["op"] == "visit"], describe="it is told")
    assert [(one["subject"], one["method"], one["ua"]) for one in fetched] == [("nobody", "link", "SafeLinks")]
    assert {event["op"] for event in portal.log(mail.item)} == {"protect", "visit"}  # told apart from a reader
    assert reader.post(f"/m/{link}/code", code=code)[2] == f"/v/{mail.item}"


# --- answering


def multipart(fields: list[tuple[str, str, bytes]]) -> tuple[bytes, dict[str, str]]:
    """A form with files: (name, filename or nothing, content)."""
    body = b""
    for name, filename, content in fields:
        more = f'; filename="{filename}"' if filename else ""
        body += f'--xx\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + content + b"\r\n"
    return body + b"--xx--\r\n", {"Content-Type": "multipart/form-data; boundary=xx"}


def test_an_answer_reaches_the_owner(portal: Portal):
    mail = portal.mail(TEXT, label="closed")
    browser = portal.opened(mail)
    assert f"/v/{mail.item}/reply" in browser.get(f"/v/{mail.item}")[1]
    assert 'name="text"' in browser.get(f"/v/{mail.item}/reply")[1]
    body, headers = multipart(
        [
            ("text", "", "Gr\u00fc\u00dfe\r\nBcc: eve@tailspin.example\r\n.\r\n".encode()),
            ("files", "../p\u00e4ge.html", b"<b>x</b>"),
        ]
    )
    status, _, answer = browser.ask("POST", f"/v/{mail.item}/reply", body, headers)
    assert (status, answer["location"]) == (303, f"/v/{mail.item}/replied")
    assert browser.get(answer["location"])[0] == 200
    found = until(
        lambda: [m for m in portal.sink.messages if m.recipients == (ALICE,)], describe=lambda: portal.relay.story()
    )
    read = email.message_from_bytes(found[-1].data, policy=email.policy.default)
    assert read["From"].addresses[0].addr_spec == "postmaster@contoso.example"
    assert BOB in read["From"].addresses[0].display_name
    assert read["Reply-To"] == f"<{BOB}>" or read["Reply-To"] == BOB
    assert read["Subject"] == "Re: Gr\u00fc\u00dfe from here"
    assert read["In-Reply-To"] == "<1@contoso.example>"
    assert read["References"] == "<1@contoso.example>"
    assert read["Auto-Submitted"] == "no"
    assert read["Bcc"] is None
    text, file = read.iter_parts()
    assert text.get_content().replace("\r", "") == "Gr\u00fc\u00dfe\nBcc: eve@tailspin.example\n.\n"
    assert file.get_filename() == "p\u00e4ge.html"
    assert file.get_payload(decode=True) == b"<b>x</b>"
    assert [event["op"] for event in portal.log(mail.item)][-1] == "reply"
    assert not list((portal.relay.folder / "var" / "queue" / "portal").iterdir())


def test_an_answer_to_all_is_read_here_by_all_and_stays_with_its_reader(portal: Portal):
    mail = portal.mail(TEXT, BOB, CAROL, hidden=(EVE,))
    browser = portal.opened(mail)
    form = browser.get(f"/v/{mail.item}/reply")[1]
    assert CAROL in form
    assert EVE not in form
    before = len(portal.sink.messages)
    body, headers = multipart([("text", "", "Gr\u00fc\u00dfe an alle".encode()), ("all", "", b"yes")])
    assert browser.ask("POST", f"/v/{mail.item}/reply", body, headers)[0] == 303
    arrived = until(lambda: len(portal.sink.messages) >= before + 2 and portal.sink.messages[before:])
    told = {one.recipients: one.data for one in arrived}
    assert set(told) == {(ALICE,), (CAROL,)}  # a blind copy is told nothing, and to nobody
    assert b"\r\nCc: <carol@fabrikam.example>\r\n" in told[(ALICE,)]
    assert b"alle" not in told[(CAROL,)]
    assert BOB.encode() in told[(CAROL,)]
    found = re.search(rb"/m/([a-z2-7]{26})", told[(CAROL,)].replace(b"=\r\n", b""))
    mine = re.search(rf"/v/{mail.item}/answers/([a-z2-7]{{26}})", browser.get(f"/v/{mail.item}")[1])
    assert found
    assert mine
    status, _, place = browser.post(f"/v/{mail.item}/answers/{mine[1]}")
    assert (status, place) == (303, f"/v/{mine[1]}")
    for reader in (browser, portal.prove(Mail(mine[1], {CAROL: found[1].decode()}), CAROL)):
        assert "alle" not in reader.get(place)[1]
        assert reader.post(f"{place}/open")[0] == 303
        assert "Gr\u00fc\u00dfe an alle" in reader.get(place)[1]
    other = portal.opened(portal.mail(TEXT))
    assert other.post(f"/v/{mail.item}/answers/{mine[1]}")[0] == 403


def test_passed_on_where_it_may_be_with_no_more_rights(portal: Portal):
    mail, closed = portal.mail(TEXT), portal.mail(TEXT, label="closed")
    browser, mute = portal.opened(mail), portal.opened(closed)
    assert f"/v/{closed.item}/forward" not in mute.get(f"/v/{closed.item}")[1]
    assert mute.post(f"/v/{closed.item}/forward", address=CAROL)[0] == 403
    portal.relay.command(
        *("protected", "grant", mail.item, "--reader", BOB, "--right", "VIEW", "--right", "FORWARD"), check=True
    )
    assert browser.post(f"/v/{mail.item}/forward", address="carol\r\nBcc: eve@tailspin.example")[0] == 422
    before = len(portal.sink.messages)
    assert browser.post(f"/v/{mail.item}/forward", address=CAROL)[::2] == (303, f"/v/{mail.item}/forwarded")
    notice = until(lambda: portal.sink.messages[before:])[0]
    assert notice.recipients == (CAROL,)
    found = re.search(rb"/m/([a-z2-7]{26})", notice.data.replace(b"=\r\n", b""))
    assert found
    carol = portal.opened(Mail(mail.item, {CAROL: found[1].decode()}), CAROL)
    page = carol.get(f"/v/{mail.item}")[1]
    assert "The plan is secret." in page
    assert f"/v/{mail.item}/message.eml" not in page
    assert carol.get(f"/v/{mail.item}/message.eml")[0] == 403
    granted = [event for event in portal.log(mail.item) if event["op"] == "grant"][-1]
    assert (granted["subject"], granted["reason"]) == (BOB, "forwarded")
    portal.relay.command("protected", "revoke", mail.item, "--reader", CAROL, check=True)
    assert browser.post(f"/v/{mail.item}/forward", address=CAROL)[0] == 422


def test_answers_need_the_right_our_page_and_bounds(portal: Portal):
    mute, mail = portal.mail(TEXT, label="mute"), portal.mail(TEXT)
    browser = portal.opened(mute)
    body, headers = multipart([("text", "", b"x")])
    assert f"/v/{mute.item}/reply" not in browser.get(f"/v/{mute.item}")[1]
    assert browser.get(f"/v/{mute.item}/reply")[0] == 403
    assert browser.ask("POST", f"/v/{mute.item}/reply", body, headers)[0] == 403
    portal.prove(mail, BOB, browser)
    browser.post(f"/v/{mail.item}/open")
    assert browser.ask("POST", f"/v/{mail.item}/reply", body, {**headers, "Sec-Fetch-Site": "cross-site"})[0] == 403
    empty, _ = multipart([("text", "", b" ")])
    assert browser.ask("POST", f"/v/{mail.item}/reply", empty, headers)[0] == 422
    large, _ = multipart([("text", "", b"x" * 600_000)])
    assert browser.ask("POST", f"/v/{mail.item}/reply", large, headers)[0] == 422
    many, _ = multipart([("files", f"{n}.txt", b"x") for n in range(21)])
    assert browser.ask("POST", f"/v/{mail.item}/reply", many, headers)[0] == 422
    assert browser.ask(
        "POST", f"/v/{mail.item}/reply", b"text=x", {"Content-Type": "application/x-www-form-urlencoded"}
    )[0] in (303, 422)


# --- the end


def test_revoked_in_the_middle_of_reading(portal: Portal):
    mail = portal.mail(TEXT, BOB, CAROL)
    browser = portal.opened(mail)
    assert browser.get(f"/v/{mail.item}")[0] == 200
    portal.relay.command("protected", "revoke", mail.item, "--reader", BOB, check=True)
    status, page = browser.get(f"/v/{mail.item}")
    assert status == 410
    assert "taken back" in page
    assert ALICE in page
    assert portal.browser().get(f"/v/{mail.item}")[0] == 403  # to a stranger as ever
    again = portal.prove(mail)  # also later, and to the proven reader alone
    assert again.get(f"/v/{mail.item}")[0] == 410


def test_expired_says_so_to_a_proven_reader(portal: Portal):
    mail = portal.mail(TEXT, label="short")
    browser = portal.prove(mail)
    page = until(lambda: (found := browser.get(f"/v/{mail.item}"))[0] == 410 and found[1], describe="it expires")
    assert "has expired" in page
    assert browser.post(f"/v/{mail.item}/open")[0] == 410
    assert portal.browser().get(f"/v/{mail.item}")[0] == 403


def test_shredded_for_all(portal: Portal):
    mail = portal.mail(TEXT)
    browser = portal.opened(mail)
    portal.relay.command("protected", "shred", mail.item, check=True)
    status, page = browser.get(f"/v/{mail.item}")
    assert (status, "taken back" in page) == (410, True)


# --- what holds for all


def test_every_page_is_small_bare_and_stays_out_of_caches(portal: Portal):
    mail = portal.mail(TEXT)
    browser = portal.opened(mail)
    style = browser.ask("GET", "/portal.css")[1]
    for path in (f"/m/{mail.links[BOB]}", f"/v/{mail.item}", f"/v/{mail.item}/log"):
        status, body, headers = browser.ask("GET", path)
        assert status == 200
        assert len(body) + len(style) <= 40 * 1024
        assert b"<script" not in body
        assert b" style=" not in body
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")


def test_cookies_of_a_portal_by_https(tmp_path: Path):
    text = CONFIG.replace('"http://localhost:{web}"', '"https://portal.contoso.example", proxy: ["127.0.0.1/32"]')
    with running_portal(tmp_path, text) as portal:
        link = portal.mail(TEXT).links[BOB]
        browser = portal.browser(Origin="https://portal.contoso.example")
        _, _, headers = browser.ask("POST", f"/m/{link}/start", b"address=bob%40fabrikam.example", FORM)
        cookie = headers["set-cookie"]
        assert cookie.startswith("__Host-mc=")
        assert {"HttpOnly", "Secure", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
        assert headers["strict-transport-security"].startswith("max-age=")
        status, _, place = browser.post(f"/m/{link}/code", code=portal.code(BOB))
        assert (status, place[:3]) == (303, "/v/")
        assert list(browser.cookies) == ["__Host-ms"]
        assert browser.get(place)[0] == 200


def test_german(portal: Portal):
    _, page = portal.browser(**{"Accept-Language": "de-CH, en;q=0.5"}).get(f"/m/{'c' * 26}")
    assert 'lang="de"' in page
    assert "Geschützte Nachrichten" in page


def test_ids_are_in_no_log(portal: Portal):
    mail = portal.mail(TEXT)
    browser = portal.opened(mail)
    told = "\n".join(portal.relay.raw)
    for secret in (mail.links[BOB], *browser.cookies.values()):
        assert secret not in told
