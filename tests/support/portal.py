"""The whole portal: a running `mta serve` with its pages, a sink for its mail, and a browser without scripts."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import re
import secrets
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from mta.app.load import load
from mta.app.vault import open_vault
from mta.ports.mail_vault import Post
from mta.vault.mail import protect_message
from tests.support.patience import patient
from tests.support.running_mta import RunningMta, free_port, mta, running_mta, until
from tests.support.smtp_peer import SmtpPeer, smtp_peer

ALICE, BOB, CAROL, EVE = (
    "alice@contoso.example",
    "bob@fabrikam.example",
    "carol@fabrikam.example",
    "eve@tailspin.example",
)
CONFIG = """
server:
  hostname: mx.contoso.example
  postmaster: postmaster@contoso.example
  listen: [{address: "127.0.0.1:{port}"}]
  workers: 1
  portal: {address: "127.0.0.1:{web}", url: "http://localhost:{web}"}
domains: {contoso.example: {deliver_to: ["127.0.0.1:{sink}"]}}
connectors:
  default: {outbound: {route: {hosts: ["127.0.0.1:{sink}"]}, tls: {level: none}}}
protection:
  root_keys: [{id: r1, key: keys/r1.key}]
  labels:
    open: {rights: co-author}
    mute: {rights: [VIEW]}
    short: {rights: co-author, expires: 3s}
    closed: {rights: do-not-forward, marking: {watermark: "{reader} {date}", header: "Closed - {owner}"}}
"""
PNG = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\10\6\0\0\0\x1f\x15\xc4\x89\0\0\0\rIDATx\x9cc\xf8\xcf\xc0\xf0"
    b"\x1f\0\5\0\1\xff\x89\x99=\x1d\0\0\0\0IEND\xaeB`\x82"
)


# In the words of the mail: a boundary, or whatever else is drawn by lot, may hold eight digits, too.
CODE = re.compile(rb"(?:code is|Code ist) (\d{8})(?!\d)")


@dataclass
class Browser:
    """Keeps cookies, follows what it is told to, runs no scripts."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, body: bytes | None = None, more: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """One request; nothing is followed."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patient(20))
        headers = {"Host": f"localhost:{self.port}", **self.headers, **(more or {})}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
        for line in answer.headers.get_all("set-cookie") or ():
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value.strip('"')
            if not self.cookies[name]:
                del self.cookies[name]
        return answer.status, content, answer.headers

    def get(self, path: str, **more: str) -> tuple[int, str]:
        """A page."""
        status, body, _ = self.ask("GET", path, None, more)
        return status, body.decode()

    def post(self, path: str, _more: Mapping[str, str] | None = None, **fields: str) -> tuple[int, str, str]:
        """Send a form: status, page, and where it leads."""
        headers = {"Content-Type": "application/x-www-form-urlencoded", **(_more or {})}
        status, body, answer = self.ask("POST", path, urlencode(fields).encode(), headers)
        return status, body.decode(), answer.get("location", "")


@dataclass
class Portal:
    """A running portal. `sink` takes all its mail."""

    relay: RunningMta
    sink: SmtpPeer
    web: int
    counts: dict[str, int] = field(default_factory=dict)

    def browser(self, **headers: str) -> Browser:
        return Browser(self.web, headers=dict(headers))

    def mail(self, message: bytes, *readers: str, hidden: tuple[str, ...] = (), label: str = "open") -> Mail:
        """Seal a message as the pipeline does."""

        async def seal() -> tuple[str, dict[str, str]]:
            async with open_vault(load(str(self.relay.config))) as vault:
                post = Post(secrets.token_hex(8), label, ALICE, readers or (BOB,), hidden, "A subject")
                sealed = await protect_message(vault, post, lambda: io.BytesIO(message))
                return sealed.item.id, sealed.links

        with ThreadPoolExecutor(1) as own:  # a test may have an event loop of its own here
            item, links = own.submit(asyncio.run, seal()).result()
        return Mail(item, links)

    def code(self, to: str) -> str:
        """The newest code that came for an address."""

        def newest() -> str:
            found = [m for m in self.sink.messages if m.recipients == (to,) and m.sender in ("", "<>")]
            codes = [match[1] for m in found if (match := CODE.search(_body(m.data)))]
            return codes[-1].decode() if len(codes) > self.counts.get(to, 0) else ""

        code: str = until(newest, describe=lambda: f"a code for {to} comes; {self.relay.story()}")
        self.counts[to] = self.counts.get(to, 0) + 1
        return code

    def prove(self, mail: Mail, reader: str = BOB, browser: Browser | None = None) -> Browser:
        """Address and code, as a reader would."""
        browser = browser or self.browser()
        link = mail.links[reader]
        status, _, place = browser.post(f"/m/{link}/start", address=reader)
        assert (status, place) == (303, f"/m/{link}/code")
        status, _, place = browser.post(f"/m/{link}/code", code=self.code(reader))
        assert (status, place) == (303, f"/v/{mail.item}")
        return browser

    def opened(self, mail: Mail, reader: str = BOB) -> Browser:
        """A browser that has opened it."""
        browser = self.prove(mail, reader)
        assert browser.post(f"/v/{mail.item}/open")[0] == 303
        return browser

    def log(self, item: str = "") -> list[dict[str, Any]]:
        """The vault's log."""
        found: list[dict[str, Any]] = self.relay.ask("log", "list")
        return [event for event in found if not item or event.get("item") == item]


def _body(data: bytes) -> bytes:
    return data.partition(b"\r\n\r\n")[2]


@dataclass(frozen=True)
class Mail:
    """A sealed mail and its links by reader."""

    item: str
    links: dict[str, str]


@contextlib.contextmanager
def running_portal(folder: Path, text: str = CONFIG) -> Iterator[Portal]:
    """`mta serve` with its pages; its root key is made."""
    web = free_port()
    with smtp_peer() as sink:
        filled = text.replace("{web}", str(web)).replace("{sink}", str(sink.port))
        (folder / "connectors.yaml").write_text(filled.replace("{port}", str(free_port())))
        mta("keys", "root", "create", "r1", "--config", str(folder / "connectors.yaml"), check=True)
        with running_mta(folder, filled) as relay:
            portal = Portal(relay, sink, web)
            until(lambda: _answers(portal), describe=lambda: relay.story())
            yield portal
            assert not relay.seen("defect"), relay.story()


def _answers(portal: Portal) -> bool:
    try:
        return portal.browser().get("/healthz")[0] == 200
    except OSError:
        time.sleep(0.05)
        return False
