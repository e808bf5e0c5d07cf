"""`mta open` away from the vault: the program shows a code, the reader lets it in by a browser and a code by mail."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.portal import ALICE, BOB, CONFIG, EVE, Portal, running_portal
from tests.support.running_mta import mta, until
from tests.support.zygote import spawn


@pytest.fixture(scope="module")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    with running_portal(tmp_path_factory.mktemp("device"), CONFIG) as running:
        yield running


def protect(portal: Portal, folder: Path, *readers: str, label: str = "open") -> Path:
    """A file for these readers, as it lies on a reader's machine."""
    source, out = folder / f"{secrets.token_hex(4)}.txt", folder / f"{secrets.token_hex(4)}.tdf"
    source.write_bytes(b"the plan")
    words = [word for reader in readers or (BOB,) for word in ("--to", reader)]
    config = ("--config", str(portal.relay.config))
    mta("protect", str(source), "--label", label, *words, "--owner", ALICE, "--out", str(out), *config)
    return out


class Opening:
    """`mta open` in a folder without any configuration."""

    def __init__(self, folder: Path, file: Path) -> None:
        self.out, self.log = folder / f"{secrets.token_hex(4)}.out", folder / f"{secrets.token_hex(4)}.log"
        with open(self.log, "wb") as log, open(os.devnull, "rb") as empty:
            words = ["open", str(file), "--out", str(self.out)]
            self.process = spawn(words, (empty.fileno(), log.fileno(), log.fileno()), cwd=folder)

    def code(self) -> str:
        """What it shows."""
        found = until(lambda: re.search(r"/device and type ([A-Z]{4}-[A-Z]{4})", self.told()), describe=self.told)
        return str(found[1])

    def told(self) -> str:
        return self.log.read_text()

    def ended(self) -> int:
        return int(self.process.wait())


def let_in(portal: Portal, code: str, address: str = BOB, decision: str = "allow") -> str:
    """What a reader does in a browser; the last page."""
    browser = portal.browser()
    assert 'action="/device/start"' in browser.get("/device")[1]
    status, _, place = browser.post("/device/start", code=code.lower().replace("-", " "), address=address)
    assert (status, place) == (303, f"/device/{code.replace('-', '')}")
    page = browser.get(place)[1]
    assert code in page
    assert "mta open" in page
    assert browser.post(place, code="00000000", decision=decision)[0] == 403
    status, page, _ = browser.post(place, code=portal.code(address), decision=decision)
    assert status == 200
    return page


def test_a_reader_far_away_opens_a_file(portal: Portal, tmp_path: Path):
    opening = Opening(tmp_path, protect(portal, tmp_path))
    assert "The program goes on" in let_in(portal, opening.code())
    assert opening.ended() == 0, opening.told()
    assert opening.out.read_bytes() == b"the plan"
    assert f"opened as {BOB}" in opening.told()
    events = [(event["op"], event["result"], event.get("subject")) for event in portal.log()]
    assert ("device", "permitted", BOB) in events
    assert ("rewrap", "permitted", BOB) in events
    [rewrap] = [event for event in portal.log() if event["op"] == "rewrap"]
    assert rewrap["method"] == "device"


def test_who_is_sent_away_opens_nothing(portal: Portal, tmp_path: Path):
    opening = Opening(tmp_path, protect(portal, tmp_path))
    assert "was sent away" in let_in(portal, opening.code(), decision="refuse")
    assert opening.ended() == 1
    assert "sent away in the browser" in opening.told()
    assert not opening.out.exists()


def test_somebody_elses_file_and_a_label_that_keeps_it_in_stay_shut(portal: Portal, tmp_path: Path):
    of_eve = protect(portal, tmp_path, EVE)
    protect(portal, tmp_path, BOB)
    closed = protect(portal, tmp_path, BOB, label="closed")
    for file in (of_eve, closed):
        opening = Opening(tmp_path, file)
        let_in(portal, opening.code())
        assert opening.ended() == 1
        assert "gives no key for it" in opening.told()
        assert not opening.out.exists()


def test_a_stranger_gets_the_same_pages_and_no_mail(portal: Portal, tmp_path: Path):
    opening = Opening(tmp_path, protect(portal, tmp_path))
    code, browser = opening.code(), portal.browser()
    status, _, place = browser.post("/device/start", code=code, address="nobody@nowhere.example")
    assert status == 303
    known = portal.browser()
    known.post("/device/start", code=code, address=BOB)
    portal.code(BOB)  # has come: the other would have, too
    pages = [re.sub("[A-Z]{4}-?[A-Z]{4}|>[A-Z]{4}<", "", each.get(place)[1]) for each in (browser, known)]
    assert pages[0] == pages[1]
    assert not any("nobody@nowhere.example" in m.recipients for m in portal.sink.messages)
    opening.process.kill()
    opening.ended()
