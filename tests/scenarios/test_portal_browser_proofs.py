"""Second proofs and the sender's own pages in a real browser: a passkey by our script, the rest without any."""

from __future__ import annotations

import re
from base64 import b32decode
from collections.abc import Iterator

import pytest

from tests.scenarios.test_portal import TEXT
from tests.support.chromium import Chromium, Visit, running_chromium
from tests.support.portal import ALICE, BOB, CAROL, CONFIG, Portal, running_portal
from tests.support.programs import needs

from mta.rfc.otp.totp import STEP, hotp  # isort: skip

pytestmark = [pytest.mark.peer, needs("chromium", "npm")]
STRICT = "    strict: {rights: co-author, second_channel: demanded}\n"


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with running_portal(tmp_path_factory.mktemp("portal"), CONFIG.rstrip() + "\n" + STRICT) as running:
        yield running


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    with running_chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


def looked(chromium: Chromium, visit: Visit, name: str, width: int) -> None:
    """A screenshot, and nothing that axe-core or a narrow window would object to."""
    visit.shot(name)
    assert chromium.faults(visit) == [], name
    assert visit.width() <= width, name


def by_code(portal: Portal, visit: Visit, place: str, reader: str) -> None:
    """Address and code."""
    page = visit.page
    page.goto(f"http://localhost:{portal.web}{place}")
    page.get_by_role("textbox").fill(reader)
    page.get_by_role("button", name=re.compile("code|Code")).click()
    page.get_by_role("textbox").fill(portal.code(reader))
    page.get_by_role("button", name=re.compile("Go on|Weiter")).click()


def test_a_passkey_is_made_and_used(portal: Portal, chromium: Chromium):
    mail = portal.mail(TEXT, CAROL, label="strict")
    with chromium.visit() as visit:
        page = visit.page
        devtools = page.context.new_cdp_session(page)
        devtools.send("WebAuthn.enable")
        kind = {"protocol": "ctap2", "transport": "internal", "hasUserVerification": True, "isUserVerified": True}
        devtools.send("WebAuthn.addVirtualAuthenticator", {"options": {**kind, "automaticPresenceSimulation": True}})
        by_code(portal, visit, f"/m/{mail.links[CAROL]}", CAROL)
        looked(chromium, visit, "second-ways", 1280)
        page.get_by_role("button", name="Set up a passkey").click()
        page.get_by_role("button", name="Open the message").wait_for()
        page.context.clear_cookies()
        by_code(portal, visit, f"/m/{mail.links[CAROL]}", CAROL)
        page.get_by_role("button", name="Use your passkey").click()
        page.get_by_role("button", name="Open the message").click()
        page.get_by_text("The plan is secret.").wait_for()
        assert visit.wrong == []
        assert [one for one in visit.asked if not one.startswith(f"http://localhost:{portal.web}/")] == []
    methods = [event["method"] for event in portal.log(mail.item) if event["op"] == "open"]
    assert methods == ["code+passkey"]


def test_an_app_without_scripts_on_a_telephone_in_german(portal: Portal, chromium: Chromium):
    mail = portal.mail(TEXT, label="strict")
    with chromium.visit(width=320, scripts=False, language="de") as visit:
        page = visit.page
        by_code(portal, visit, f"/m/{mail.links[BOB]}", BOB)
        looked(chromium, visit, "second-ways-telephone", 320)
        page.get_by_role("link", name="Eine Authenticator-App einrichten").click()
        looked(chromium, visit, "app-telephone", 320)
        secret = page.locator("#secret").inner_text().replace(" ", "")
        now = float(portal.log()[-1]["time"])
        page.get_by_role("textbox").fill(hotp(b32decode(secret), int(now // STEP)))
        page.get_by_role("button", name="Einrichten").click()
        page.get_by_role("button", name="Nachricht öffnen").click()
        page.get_by_text("The plan is secret.").wait_for()


@pytest.mark.parametrize(
    ("width", "language", "scripts"), [(1280, "en", True), (320, "de", False)], ids=["desk", "telephone"]
)
def test_the_sender_s_own_pages(portal: Portal, chromium: Chromium, width: int, language: str, scripts: bool):
    mail = portal.mail(TEXT, BOB, CAROL)
    portal.opened(mail)
    with chromium.visit(width=width, scripts=scripts, language=language) as visit:
        page = visit.page
        by_code(portal, visit, "/my", ALICE)
        looked(chromium, visit, f"my-{width}", width)
        page.locator(f'a[href="/my/{mail.item}"]').click()
        looked(chromium, visit, f"my-item-{width}", width)
        page.get_by_role("button", name=re.compile(f"(Take back|Entziehen) {BOB}")).click()
        page.get_by_role("status").wait_for()
        looked(chromium, visit, f"my-revoked-{width}", width)
        page.locator('input[name="sure"]').check()
        page.get_by_role("button", name=re.compile("Take it back from everybody|Allen entziehen")).click()
        page.get_by_role("status").wait_for()
    assert portal.relay.ask("protected", "show", mail.item)["state"] == "shredded"
