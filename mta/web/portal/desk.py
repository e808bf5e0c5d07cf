"""What the readers' pages work with: who has proved what, which keys are at hand, who carries mail."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from mta.errors import MtaError
from mta.observe import events
from mta.observe.log import EventLog
from mta.policy.pace import Pace
from mta.ports.portal import Courier, Passkeys, SmsSender
from mta.ports.preview import Previews
from mta.ports.vault import IssuerSignIn
from mta.rfc.mime.note import Note, compose_note
from mta.vault.channels import SecondChannels
from mta.vault.device import Devices, shown
from mta.vault.passkeys import ReaderPasskeys
from mta.vault.prove import Letter, Paces, Proofs
from mta.vault.read import Readings
from mta.vault.sign_in import SignIns
from mta.vault.vault import Vault
from mta.web.portal.looks import Looks
from mta.web.portal.words import Words

_SECONDS_TO_SEND = 60.0
_AFTER_THE_ANSWER = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class House:
    """Who we are in mails of ours. `largest` is the limit of a message, in octets."""

    url: str
    hostname: str
    postmaster: str
    largest: int = 52_428_800

    @property
    def host(self) -> str:
        """The name that readers see in the address of a page."""
        return self.url.partition("://")[2].partition(":")[0]


@dataclass(frozen=True, slots=True)
class Desk:
    """The pages of one process."""

    vault: Vault
    house: House
    courier: Courier
    log: EventLog
    proofs: Proofs
    readings: Readings
    channels: SecondChannels
    passkeys: ReaderPasskeys
    sign_ins: SignIns
    devices: Devices
    device_proofs: Proofs  # of readers who let a program in
    looks: Looks
    answers: Pace = field(default_factory=lambda: Pace(20, 3600.0))  # of a reader to an item
    asks: Pace = field(default_factory=lambda: Pace(3, 86_400.0))  # of a reader for an item that is over
    alarms: Pace = field(default_factory=lambda: Pace(1, 60.0))
    visits: Pace = field(default_factory=lambda: Pace(1, 3600.0))  # of a network to a link
    visits_in_all: Pace = field(default_factory=lambda: Pace(600, 3600.0))
    _sending: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def secure(self) -> bool:
        """Whether readers come by HTTPS."""
        return self.house.url.startswith("https://")

    def send(self, letter: Letter | None, t: Words) -> None:
        """Send a code after the answer: how long that takes would tell that there is somebody to send it to."""
        self.later(self._send_code(letter, t), "code")

    async def _send_code(self, letter: Letter | None, t: Words) -> None:
        """A mail is written for nobody, too: what it costs is felt by whoever asks something else meanwhile."""
        await asyncio.sleep(_AFTER_THE_ANSWER)
        message = self.code_mail(letter or Letter(self.house.postmaster, "00000000", "AAAA"), t)
        if letter is not None:
            await self.courier.send_code(letter.to, message)

    def later(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """Send a mail without waiting for it; that it could not be sent is an alarm."""
        task = asyncio.get_running_loop().create_task(self._send(work, what))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _send(self, work: Coroutine[Any, Any, None], what: str) -> None:
        try:
            async with asyncio.timeout(_SECONDS_TO_SEND):
                await work
        except (MtaError, TimeoutError) as error:
            text = f"a mail of the portal ({what}) could not be sent: {error or 'no answer'}"
            self.alarm(what, MtaError(str(error)) if what == "visit" else MtaError(text))
        except Exception as error:  # nobody waits for this task
            self.log.defect(f"portal.{what}", error)

    def count(self, what: str, result: str) -> None:
        """One line of the log and one count, without addresses and ids."""
        self.log.info(events.PORTAL, what=what, result=result)

    def alarm(self, word: str, error: Exception) -> None:
        """What a person must see to; each word once a minute."""
        if self.alarms.take(word, self.vault.clock.now()):
            self.log.error(events.ALARM, alarm=f"portal.{word}", text=str(error))

    def own_address(self, owner: str) -> str:
        """Ours, in the owner's own domain where that is one of ours."""
        domain = owner.rpartition("@")[2]
        return f"postmaster@{domain}" if domain in self.vault.ours else self.house.postmaster

    def code_mail(self, letter: Letter, t: Words) -> bytes:
        """The mail with the code: from the sender's own domain where that is ours."""
        host, item, word = self.house.host, letter.item, "mail.subject"
        if letter.program:
            word = "mail.device.subject"
            why = t("mail.device", host=host, program=shown(letter.program), reference=letter.reference)
        elif item is None:
            why = t("mail.why.my", host=host, reference=letter.reference)
        else:
            why = t("mail.why", owner=item.owner, host=host, reference=letter.reference)
        paragraphs = (t("mail.code", code=letter.code), why, t("mail.not.you"))
        subject = t(word, reference=letter.reference)
        return self.mail(letter.to, subject, paragraphs, self.own_address(item.owner if item else letter.to))

    def mail(self, to: str, subject: str, paragraphs: tuple[str, ...], from_: str) -> bytes:
        """A short mail of the portal."""
        return compose_note(
            Note(
                id=self.vault.new_id(),
                hostname=self.house.hostname,
                from_=from_,
                to=to,
                date=self.vault.clock.now(),
                subject=subject,
                paragraphs=paragraphs,
                name=self.house.host,
            )
        )


@dataclass(frozen=True, slots=True)
class Outside:
    """What of the world outside the pages work with."""

    courier: Courier
    passkeys: Passkeys
    issuers: IssuerSignIn
    previews: Previews
    sms: SmsSender | None = None


def open_desk(vault: Vault, house: House, outside: Outside, log: EventLog) -> Desk:
    """A desk at which nobody has proved anything yet."""
    channels = SecondChannels(vault, outside.sms)
    passkeys = ReaderPasskeys(channels, outside.passkeys)
    sign_ins = SignIns(vault, outside.issuers, house.url)
    strict = Paces(codes_to_address=Pace(5, 3600.0))  # whoever knows an address may have codes sent there
    return Desk(
        vault=vault,
        house=house,
        courier=outside.courier,
        log=log,
        proofs=Proofs(vault),
        readings=Readings(vault),
        channels=channels,
        passkeys=passkeys,
        sign_ins=sign_ins,
        devices=Devices(vault),
        device_proofs=Proofs(vault, strict),
        looks=Looks(outside.previews),
    )
