"""Debian's Chromium, driven by Playwright: pages as readers see them, and all that a page asks the network for."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Request, sync_playwright

from tests.support.patience import patient
from tests.support.programs import find

AXE = "axe-core@4.14.1"
# No sandbox of the kernel's: CI runs as root. Nothing here calls home.
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost"),
)


@dataclass
class Visit:
    """One browser window. `asked` is every address that its pages asked for, `wrong` what scripts complained of."""

    page: Page
    shots: Path
    language: str
    asked: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)  # dialogs: a script that runs would open one

    def shot(self, name: str) -> None:
        """Keep the page as it looks now, all of it."""
        self.page.screenshot(path=self.shots / f"{name}.png", full_page=True)

    def width(self) -> int:
        """How wide the page is; more than the window, and it must be pushed to and fro."""
        return int(self.page.evaluate("document.documentElement.scrollWidth"))


@dataclass
class Chromium:
    """A running browser, and axe-core as npm has it."""

    browser: Browser
    axe: str
    shots: Path

    @contextlib.contextmanager
    def visit(self, *, width: int = 1280, scripts: bool = True, language: str = "en-GB") -> Iterator[Visit]:
        """A window with cookies of its own."""
        context = self.browser.new_context(
            viewport={"width": width, "height": 800}, java_script_enabled=scripts, locale=language
        )
        context.set_default_timeout(patient(20) * 1000)
        try:
            visit = Visit(context.new_page(), self.shots, language)
            context.on("request", lambda request: _note(visit, request))
            context.on("dialog", lambda dialog: (visit.told.append(dialog.message), dialog.dismiss()))
            visit.page.on("pageerror", lambda error: visit.wrong.append(str(error)))
            yield visit
        finally:
            context.close()

    def faults(self, visit: Visit) -> list[str]:
        """What axe-core finds wrong with our page (the message in its frame is the sender's).

        It is a script itself, so it looks at the page in a window of the same reader's where scripts run.
        """
        context = self.browser.new_context(viewport=visit.page.viewport_size, locale=visit.language)
        with contextlib.closing(context):
            context.add_cookies(visit.page.context.cookies())  # type: ignore[arg-type] - what it gave itself
            page = context.new_page()
            page.goto(visit.page.url)
            page.evaluate(self.axe)
            found: Any = page.evaluate("axe.run(document, {iframes: false}).then(result => result.violations)")
        return [f"{one['id']}: {node['html']}" for one in found for node in one["nodes"]]


def _note(visit: Visit, request: Request) -> None:
    visit.asked.append(request.url)


@contextlib.contextmanager
def running_chromium(folder: Path) -> Iterator[Chromium]:
    """A browser; screenshots lie in `folder`/shots."""
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", AXE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=patient(120))
    assert done.returncode == 0, done.stderr
    axe = (folder / "node_modules/axe-core/axe.min.js").read_text("utf-8")
    (folder / "shots").mkdir()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find("chromium"), args=FLAGS, timeout=patient(60) * 1000)
        try:
            yield Chromium(browser, axe, folder / "shots")
        finally:
            browser.close()
