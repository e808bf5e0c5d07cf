"""The play: open two mailboxes, start two relays, send one message, show what both relays know of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import smtplib
import ssl
import time
from email.message import EmailMessage
from email.utils import format_datetime, localtime, make_msgid
from pathlib import Path
from typing import Any, TextIO

from mta.app.demo import open_mailbox
from mta.cli.demo.relay import Relay, RelayFailed
from mta.cli.demo.words import log_line, to_try
from mta.cli.demo.world import Company, World
from mta.cli.paint import octets, paint_for
from mta.cli.trace import find, story
from mta.errors import MtaError

SENDER, RECIPIENT = "alice@contoso.example", "partner@fabrikam.example"
_PATIENCE = 60.0  # seconds at most for the message to arrive and to be settled
_LAST_WORDS = 20  # log lines shown when something went wrong


class Play:
    """One run of the demo; `me` is our process, with which the relays end."""

    def __init__(self, world: World, out: TextIO, me: int) -> None:
        self._world = world
        self._out = out
        self._paint = paint_for(out)
        self._relays = [Relay(company.name, company.config, me, self._hear) for company in world.companies]
        self._shows_log = False
        self._expected = ""  # the Message-ID of the message that was sent
        self._arrived = asyncio.Event()

    async def run(self, *, once: bool) -> int:
        """All of it. SIGINT and SIGTERM end it at any time; nothing of it is left running."""
        acting = asyncio.ensure_future(self._act(once=once))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, acting.cancel)
        try:
            return await acting
        except asyncio.CancelledError:
            return 1 if once else 0
        finally:
            await self._strike()

    async def _strike(self) -> None:
        if self._shows_log:
            self._say("", "Stopping both relays.")
        await asyncio.gather(*(relay.stop() for relay in self._relays))

    def _say(self, *lines: str) -> None:
        for line in lines:
            print(line, file=self._out)

    # --- the acts --------------------------------------------------------------------------------------------------

    async def _act(self, *, once: bool) -> int:
        self._introduce()
        async with contextlib.AsyncExitStack() as mailboxes:
            for company in self._world.companies:
                mailboxes.callback((await self._open(company)).close)
            try:
                await self._start()
                arrived = await self._first_message()
            except MtaError:
                self._last_words()
                raise
            if once:
                return 0 if arrived else 1
            await self._stay()
        return 0

    def _introduce(self) -> None:
        world, paint = self._world, self._paint
        self._say(paint("head", "Two companies on this machine, with a contract between them"), "")
        for company in world.companies:
            mailbox = _near(company.mailbox_folder)
            self._say(f"  {paint('name', f'{company.name:9}')} relay at {company.relay}, mailboxes in {mailbox}")
        pki = "made just now, for throwing away" if world.pki_made else "still good from last time"
        self._say(f"  their certificates are in {_near(world.certs)} ({pki})", "")

    async def _open(self, company: Company) -> asyncio.AbstractServer:
        def arrived(arrival: object) -> None:
            self._announce(company, arrival)

        folder = str(company.mailbox_folder)
        return await open_mailbox(company.mailbox, company.mailbox_host, company.mailbox_pair, folder, arrived)

    def _announce(self, company: Company, arrival: Any) -> None:
        to = ", ".join(arrival.recipients)
        what = f"{company.name}'s mailbox host got {octets(arrival.size)} from {arrival.sender or '<>'} to {to}"
        self._say(f"  {self._paint('good', what)}: {_near(arrival.path)}")
        if self._expected and self._expected.encode() in arrival.path.read_bytes():
            self._arrived.set()

    async def _start(self) -> None:
        begun = time.monotonic()
        self._say(self._paint("head", "Starting both relays"), "")
        for relay in self._relays:
            await relay.start()
        await asyncio.gather(*(relay.ready() for relay in self._relays))
        self._say(f"  ready after {time.monotonic() - begun:.1f} s", "")

    async def _first_message(self) -> bool:
        self._say(self._paint("head", f"{SENDER} writes to {RECIPIENT}"), "")
        message = _letter()
        self._expected = str(message["Message-ID"])
        begun = time.time()
        reply = await asyncio.to_thread(_hand_in, self._world, message)
        self._say(f"  Contoso's relay took it: {reply}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._arrived.wait(), _PATIENCE)
        for company in self._world.companies:
            await self._show_trace(company, begun)
        if not self._arrived.is_set():
            self._say(self._paint("bad", "The message did not arrive."))
            self._last_words()
        return self._arrived.is_set()

    async def _show_trace(self, company: Company, begun: float) -> None:
        """What `mta trace` prints, once everything has been settled."""
        found = await self._settled(company, begun)
        command = f"mta trace {found[0]['id'] if found else ''} --config {_near(company.config)}"
        self._say("", self._paint("head", f"What {company.name}'s relay knows of it ({command})"), "")
        self._say(*(story(message, time.time(), self._paint) for message in found), "")

    async def _settled(self, company: Company, begun: float) -> list[dict[str, Any]]:
        end = time.monotonic() + _PATIENCE
        while True:
            wanted = {"sender": SENDER, "recipient": RECIPIENT, "limit": 1}
            found = await asyncio.to_thread(find, str(company.config), wanted)
            found = [message for message in found if message["received"] >= begun - 1]
            open_ = [one for message in found for one in message["recipients"] if one["state"] == "queued"]
            if (found and not open_) or not self._arrived.is_set() or time.monotonic() > end:
                return found
            await asyncio.sleep(0.05)

    async def _stay(self) -> None:
        self._say(to_try(self._world, self._paint), "")
        self._say(self._paint("head", "Both relays stay up until Ctrl-C. This is their log:"), "")
        self._shows_log = True
        ends = [asyncio.ensure_future(relay.ended()) for relay in self._relays]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for end in ends:
                end.cancel()
        raise RelayFailed("a relay has ended by itself; its last words are above")

    # --- the log ---------------------------------------------------------------------------------------------------

    def _hear(self, company: str, event: dict[str, object]) -> None:
        if self._shows_log:
            line = log_line(company, event, self._paint)
            if line:
                self._say(line)

    def _last_words(self) -> None:
        for relay in self._relays:
            if relay.lines:
                self._say("", self._paint("head", f"The end of the log of {relay.name}'s relay"))
                self._say(*(f"  {self._paint('dim', line)}" for line in list(relay.lines)[-_LAST_WORDS:]))


def _near(path: Path) -> str:
    """A path as short as it can be told from here."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _letter() -> EmailMessage:
    message = EmailMessage()
    message["From"] = f"Alice <{SENDER}>"
    message["To"] = f"Partner <{RECIPIENT}>"
    message["Subject"] = "Under contract"
    message["Date"] = format_datetime(localtime())
    message["Message-ID"] = make_msgid(domain="contoso.example")
    message.set_content("Dear partner,\n\nthis letter went over verified TLS only, as agreed.\n\nAlice\n")
    return message


def _hand_in(world: World, message: EmailMessage) -> str:
    """Give the message to Contoso's relay as a client of Contoso would; its reply. Raises RelayFailed."""
    context = ssl.create_default_context(cafile=str(world.certs / "contoso-ca.pem"))
    relay = world.contoso.relay
    try:
        with smtplib.SMTP(relay.host, relay.port, "desk.contoso.example", timeout=_PATIENCE) as client:
            client.starttls(context=context)
            client.ehlo("desk.contoso.example")
            for code, text in (client.mail(SENDER), client.rcpt(RECIPIENT)):
                if code != 250:
                    raise RelayFailed(f"Contoso's relay refused the message: {code} {text.decode(errors='replace')}")
            code, text = client.data(message.as_bytes(policy=message.policy.clone(linesep="\r\n")))
    except (OSError, smtplib.SMTPException) as error:
        raise RelayFailed(f"Contoso's relay did not take the message: {error}") from error
    answer = f"{code} {text.decode(errors='replace')}"
    if code != 250:
        raise RelayFailed(f"Contoso's relay refused the message: {answer}")
    return answer
