"""The portal in a real browser: from the notice to the answer, with and without scripts, on a desk and on a telephone.

Screenshots of every step lie beside the test's other files (pytest's --basetemp).
"""

from __future__ import annotations

import base64
import email
import email.policy
import re
import smtplib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.chromium import Chromium, Visit, running_chromium
from tests.support.portal import ALICE, BOB, CONFIG, PNG, Portal, running_portal
from tests.support.programs import needs
from tests.support.running_mta import until
from tests.support.smtp_peer import smtp_peer
from tests.support.vectors_xss import HTML, filled
from tests.support.vectors_xss import WORDS as XSS_WORDS

pytestmark = [pytest.mark.peer, needs("chromium", "npm")]

WORDS = {
    "en": (
        "Send me a code",
        "Go on",
        "Open the message",
        "Download",
        "Answer",
        "Send the answer",
        "Look at it",
        "Back to the message",
    ),
    "de": (
        "Code zuschicken",
        "Weiter",
        "Nachricht öffnen",
        "Herunterladen",
        "Antworten",
        "Antwort senden",
        "Ansehen",
        "Zurück zur Nachricht",
    ),
}


def _message() -> bytes:
    html = (
        "<p>Die Pläne für <b>Montag</b>.</p><p><img src='cid:p@x' alt='Skizze' width='40' height='40'></p>"
        "<img src='http://localhost:9/pixel.png'>"
    )
    picture = base64.encodebytes(PNG).replace(b"\n", b"\r\n")
    return (
        "From: Alice Wagner <alice@contoso.example>\r\nTo: bob@fabrikam.example\r\n"
        "Subject: =?utf-8?B?UGzDpG5lIGbDvHIgTW9udGFn?= [secure]\r\nDate: Mon, 30 Nov 2026 10:00:00 +0000\r\n"
        'Message-ID: <plan@contoso.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="m"\r\n\r\n'
        '--m\r\nContent-Type: multipart/related; boundary="r"\r\n\r\n--r\r\nContent-Type: text/html; charset=utf-8\r\n'
        f"Content-Transfer-Encoding: 8bit\r\n\r\n{html}\r\n--r\r\nContent-Type: image/png\r\nContent-ID: <p@x>\r\n"
        "Content-Transfer-Encoding: base64\r\n\r\n"
    ).encode() + (
        picture
        + b"--r--\r\n--m\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename=notes.txt\r\n\r\n"
        + b"The notes.\r\n--m\r\nContent-Type: image/png\r\nContent-Disposition: attachment; filename=sketch.png\r\n"
        + b"Content-Transfer-Encoding: base64\r\n\r\n"
        + picture
        + b"--m--\r\n"
    )


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    text = CONFIG.replace("tls: {level: none}", "tls: {level: none}, protect: {when: triggers, label: open}")
    text = text.replace("connectors:", 'connectors:\n  internal: {relay: true, inbound: {networks: ["127.0.0.1/32"]}}')
    text += '  triggers: [{subject: "[secure]", label: open}]\n'
    with running_portal(tmp_path_factory.mktemp("portal"), text) as running:
        yield running


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with running_chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@dataclass
class Reader:
    """Bob, who looks at every page before he goes on: axe-core, the width, a screenshot."""

    chromium: Chromium
    visit: Visit
    name: str
    width: int
    words: tuple[str, ...]

    def look(self, step: str) -> None:
        self.visit.shot(f"{self.name}-{step}")
        assert self.chromium.faults(self.visit) == [], step
        assert self.visit.width() <= self.width, step

    def press(self, word: int) -> None:
        self.visit.page.get_by_role("button", name=self.words[word], exact=True).click()


@pytest.mark.parametrize(
    ("name", "width", "scripts", "language"),
    [("desk", 1280, True, "en"), ("telephone", 320, False, "de")],
    ids=["desk", "telephone-without-scripts-german"],
)
def test_notice_code_read_download_answer(
    portal: Portal, chromium: Chromium, tmp_path: Path, name: str, width: int, scripts: bool, language: str
):
    sent = len(portal.sink.messages)
    with smtplib.SMTP("127.0.0.1", portal.relay.port) as client:
        client.sendmail(ALICE, [BOB], _message(), ["BODY=8BITMIME"])
    notice = until(lambda: [one for one in portal.sink.messages[sent:] if one.recipients == (BOB,)])[0].data
    with chromium.visit(width=width, scripts=scripts, language=language) as visit:
        reader = Reader(chromium, visit, name, width, WORDS[language])
        link = _read_notice(reader, notice)
        page = visit.page
        page.goto(link)
        reader.look("1-address")
        page.get_by_role("textbox").fill(BOB)
        reader.press(0)
        reader.look("2-code")
        page.get_by_role("textbox").fill(portal.code(BOB))
        reader.press(1)
        reader.look("3-cover")
        reader.press(2)
        assert page.get_by_role("heading", level=1).inner_text() == "Pläne für Montag"
        frame = page.frame_locator("iframe")
        frame.get_by_text("Die Pläne für Montag.").wait_for()
        assert frame.get_by_alt_text("Skizze").evaluate("picture => picture.naturalWidth") == 1
        reader.look("4-message")
        _look_at_the_sketch(reader)
        with page.expect_download() as started:
            page.get_by_role("link", name=f"{reader.words[3]}: notes.txt").click()
        assert Path(started.value.path()).read_bytes() == b"The notes."
        assert started.value.suggested_filename == "notes.txt"
        _answer(reader, tmp_path)
        assert visit.wrong == []
        ours = f"http://localhost:{portal.web}/"
        assert [one for one in visit.asked if not one.startswith((ours, "data:image/png"))] == []
    _answered(portal)


def _read_notice(reader: Reader, notice: bytes) -> str:
    """The notice as a mail program shows it; its only link."""
    read = email.message_from_bytes(notice, policy=email.policy.default)
    html = read.get_body(("html",))
    assert html is not None
    page = reader.visit.page
    page.set_content(html.get_content())
    assert reader.visit.width() <= reader.width
    reader.visit.shot(f"{reader.name}-0-notice")
    text = read.get_body(("plain",))
    assert text is not None
    found = re.search(r"http://\S+/m/[a-z2-7]{26}", text.get_content())
    assert found
    assert page.get_by_role("link").first.get_attribute("href") == found[0]
    return found[0]


def _look_at_the_sketch(reader: Reader) -> None:
    page = reader.visit.page
    page.get_by_role("link", name=f"{reader.words[6]}: sketch.png").click()
    assert page.get_by_role("img").evaluate("picture => picture.naturalWidth") == 1
    reader.look("4-preview")
    page.get_by_role("link", name=reader.words[7]).click()


def _answer(reader: Reader, folder: Path) -> None:
    page = reader.visit.page
    page.get_by_role("link", name=reader.words[4], exact=True).click()
    reader.look("5-answer")
    (folder / "plan.txt").write_bytes(b"My plan.")
    page.get_by_role("textbox").fill("Verstanden, bis Montag.")
    page.locator("input[type=file]").set_input_files(folder / "plan.txt")
    reader.press(5)
    reader.look("6-answered")


def _answered(portal: Portal) -> None:
    """The answer lies in the sender's inbox, in the thread."""
    arrived = until(lambda: [one for one in portal.sink.messages if one.recipients == (ALICE,)])[-1]
    portal.sink.messages.remove(arrived)
    read = email.message_from_bytes(arrived.data, policy=email.policy.default)
    text, file = read.iter_parts()
    assert text.get_content().strip() == "Verstanden, bis Montag."
    assert file.get_payload(decode=True) == b"My plan."
    assert (read["In-Reply-To"], read["Subject"]) == ("<plan@contoso.example>", "Re: Pläne für Montag")


def test_no_script_runs_and_no_request_leaves(portal: Portal, chromium: Chromium):
    """What tests/support/vectors_xss.py tries, in body, subject, names and names of files, with scripts on."""
    with smtp_peer() as trap, chromium.visit() as visit:
        mail = portal.mail(_hostile(trap.port))
        reader = portal.opened(mail)
        page = visit.page
        origin = f"http://localhost:{portal.web}"
        page.context.add_cookies(
            [{"name": name, "value": value, "url": origin} for name, value in reader.cookies.items()]
        )
        for path in ("", "/text", "/body", "/reply", "/log", "/p/0", "/p/1"):
            page.goto(f"{origin}/v/{mail.item}{path}")
            page.wait_for_load_state("networkidle")
        page.goto(f"{origin}/v/{mail.item}")
        visit.shot("hostile")
        assert visit.told == []
        assert visit.wrong == []
        assert [one for one in visit.asked if not one.startswith((f"{origin}/", "data:image/"))] == []
        assert trap.connections == 0
        assert page.get_by_role("heading", level=1).inner_text() == XSS_WORDS[0]


def _hostile(trap: int) -> bytes:
    html = "".join(f"<div>{filled(vector, trap)}</div>" for vector in HTML).replace("\0", "")
    files = "".join(
        "--m\r\nContent-Type: text/plain\r\nContent-Disposition: attachment; filename*=utf-8''"
        f"{quote(word, safe='')}\r\n\r\n{word}\r\n"
        for word in XSS_WORDS
    )
    name = "=?utf-8?B?" + base64.b64encode(XSS_WORDS[1].encode()).decode() + "?="
    return (
        f"From: {name} <alice@contoso.example>\r\nTo: {name} <bob@fabrikam.example>\r\nSubject: {XSS_WORDS[0]}\r\n"
        'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="m"\r\n\r\n'
        f"--m\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}\r\n{files}--m--\r\n"
    ).encode()
