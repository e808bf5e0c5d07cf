"""Second channels of readers: set up, proved, forgotten. What is wanted is decided in policy/channel.py.

Every attempt is written down. Wrong ones are counted for each reader and channel, so that another browser or another
link gives no more of them.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import OrderedDict
from dataclasses import dataclass, field, replace

from mta.errors import MtaError
from mta.model.protected import Actor, Credential, VaultEvent
from mta.observe.vault_events import Operation, Result
from mta.policy.channel import Channel, Step, next_step
from mta.policy.pace import Pace
from mta.ports.portal import SmsSender
from mta.ports.vault import Change
from mta.rfc.otp.totp import SECRET, secret_text, secret_uri, verify
from mta.vault.credentials import fits_phrase, new_credential, open_secret, seal_secret
from mta.vault.sessions import Proven
from mta.vault.vault import Vault

BEGUN_LIFE = 600.0  # seconds that setting up an app, or a code by SMS, may take
_SMS_TRIES, _SMS_DIGITS = 5, 6
_MOST_BEGUN = 5_000
_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Begun:
    """Something that waits for a code: an app's secret, or a code that went to a telephone."""

    secret: bytes = field(repr=False)
    until: float
    wrong: int = 0


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator app needs."""

    text: str
    uri: str


@dataclass(frozen=True, slots=True)
class ChannelPaces:
    """How often somebody may err, or have a message sent."""

    wrong: Pace = field(default_factory=lambda: Pace(10, _HOUR))
    wrong_phrases: Pace = field(default_factory=lambda: Pace(5, 300.0))
    wrong_phrases_a_day: Pace = field(default_factory=lambda: Pace(30, 24 * _HOUR))
    messages: Pace = field(default_factory=lambda: Pace(5, _HOUR))
    messages_in_all: Pace = field(default_factory=lambda: Pace(300, _HOUR))


class SecondChannels:
    """The second channels of one portal."""

    def __init__(self, vault: Vault, sms: SmsSender | None = None, paces: ChannelPaces | None = None) -> None:
        self.vault = vault
        self._sms = sms
        self._paces = paces or ChannelPaces()
        self._begun: OrderedDict[tuple[Channel, str, str], Begun] = OrderedDict()

    async def step(self, who: Proven) -> Step:
        """What this reader does next for this item."""
        item = await self.vault.store.item(who.item)
        label = self.vault.protection.labels.get(item.label) if item else None
        if label is None or label.second_channel == "none":
            return Step()
        found = [*await self.vault.store.credentials(who.reader), *await self.vault.store.credentials(who.grant)]
        ready = {Channel(one.kind) for one in found}
        if self._number(who):
            ready.add(Channel.SMS)
        return next_step(label, ready, who.channels)

    def _number(self, who: Proven) -> str:
        gateway = self.vault.protection.sms
        return gateway.numbers.get(who.reader, "") if gateway and self._sms else ""

    # --- an authenticator app

    def begin_app(self, who: Proven, host: str) -> Enrolment:
        """A fresh secret for this reader's app; it counts when a code of it was typed. Asked again: the same one."""
        place, now = (Channel.TOTP, who.reader, who.item), self.vault.clock.now()
        begun = self._begun.get(place)
        if begun is None or begun.until <= now:
            begun = self._begin(place, self.vault.random(SECRET))
        return Enrolment(secret_text(begun.secret), secret_uri(begun.secret, host, who.reader))

    async def enrol_app(self, who: Proven, typed: str, actor: Actor) -> bool:
        """Whether the code is of the app that is being set up; it is the reader's from now on."""
        place, now = (Channel.TOTP, who.reader, who.item), self.vault.clock.now()
        begun = self._begun.get(place)
        if begun is None or begun.until <= now or not self.may_err(who, Channel.TOTP):
            return False
        step = verify(begun.secret, typed, now)
        if step is None:
            self._erred(who, Channel.TOTP)
            return False
        del self._begun[place]
        data = {"secret": seal_secret(self.vault, begun.secret, who.reader), "last": step}
        await self.enrol(who, new_credential(self.vault, who.reader, Channel.TOTP, data), actor)
        return True

    async def prove_app(self, who: Proven, typed: str, actor: Actor) -> bool:
        """Whether the code is of one of the reader's apps, and was not used before."""
        if not self.may_err(who, Channel.TOTP):
            return False
        good = False
        for one in await self._mine(who, Channel.TOTP):
            good = good or await self._fits_app(one, typed)
        return await self.proved(who, Channel.TOTP, good, actor)

    async def _fits_app(self, credential: Credential, typed: str) -> bool:
        data, now = json.loads(credential.data), self.vault.clock.now()
        secret = open_secret(self.vault, data["secret"], credential.subject)
        step = verify(secret, typed, now, int(data["last"]))
        if step is None:
            return False
        after = replace(credential, data=json.dumps({**data, "last": step}), used=now)
        return await self.vault.store.use_credential(credential, after)  # RFC 6238 §5.2: once

    # --- a phrase agreed with the sender

    async def prove_phrase(self, who: Proven, typed: str, actor: Actor) -> bool:
        """Whether it is the phrase of this grant."""
        if not self.may_err(who, Channel.PHRASE):
            return False
        known = [one for one in await self.vault.store.credentials(who.grant) if one.kind == Channel.PHRASE]
        good = await asyncio.to_thread(fits_phrase, known[-1] if known else None, typed)
        return await self.proved(who, Channel.PHRASE, good, actor)

    # --- a code by SMS

    def masked_number(self, who: Proven) -> str:
        """The last two digits, by which a reader knows the telephone and nobody else the number."""
        number = self._number(who)
        return f"\u2026{number[-2:]}" if number else ""

    async def send_code(self, who: Proven, text: str) -> bool:
        """Send a code; `text` has a place {code}. False: too many were sent. Raises MtaError: it could not be."""
        number, now = self._number(who), self.vault.clock.now()
        if not number or self._sms is None:
            return False
        if not self._paces.messages.take(number, now) or not self._paces.messages_in_all.take("", now):
            return False
        place = (Channel.SMS, who.reader, who.item)
        code = f"{int.from_bytes(self.vault.random(16), 'big') % 10**_SMS_DIGITS:0{_SMS_DIGITS}d}"
        self._begin(place, code.encode())
        await self._sms.send(number, text.format(code=code))
        return True

    async def prove_sms(self, who: Proven, typed: str, actor: Actor) -> bool:
        """Whether it is the code that was sent; once, five attempts."""
        place, now = (Channel.SMS, who.reader, who.item), self.vault.clock.now()
        begun = self._begun.get(place)
        if begun is None or begun.until <= now or begun.wrong >= _SMS_TRIES or not self.may_err(who, Channel.SMS):
            return False
        digits = "".join(character for character in typed[:32] if character.isascii() and character.isdigit())
        good = hmac.compare_digest(begun.secret, digits.encode())
        if good:
            del self._begun[place]
        else:
            self._begun[place] = replace(begun, wrong=begun.wrong + 1)
        return await self.proved(who, Channel.SMS, good, actor)

    # --- all of them

    async def enrol(self, who: Proven, credential: Credential, actor: Actor) -> None:
        """Remember a credential that its reader has just proved."""
        event = self._event(who, Operation.ENROL, actor, Result.DONE, credential.kind)
        await self.vault.store.change(Change((event,), credentials=(credential,)))

    def _begin(self, place: tuple[Channel, str, str], secret: bytes) -> Begun:
        self._begun[place] = begun = Begun(secret, self.vault.clock.now() + BEGUN_LIFE)
        self._begun.move_to_end(place)
        while len(self._begun) > _MOST_BEGUN:
            self._begun.popitem(last=False)
        return begun

    async def _mine(self, who: Proven, kind: Channel) -> list[Credential]:
        return [one for one in await self.vault.store.credentials(who.reader) if one.kind == kind]

    def may_err(self, who: Proven, kind: Channel) -> bool:
        """Whether this reader may try once more."""
        now, name = self.vault.clock.now(), _counted(who, kind)
        if kind == Channel.PHRASE:
            return self._paces.wrong_phrases.allows(name, now) and self._paces.wrong_phrases_a_day.allows(name, now)
        return self._paces.wrong.allows(name, now)

    def _erred(self, who: Proven, kind: Channel) -> None:
        now, name = self.vault.clock.now(), _counted(who, kind)
        if kind == Channel.PHRASE:
            self._paces.wrong_phrases.take(name, now)
            self._paces.wrong_phrases_a_day.take(name, now)
        else:
            self._paces.wrong.take(name, now)

    async def proved(self, who: Proven, kind: Channel, good: bool, actor: Actor) -> bool:
        """Write an attempt down. Raises StorageError: then nothing was proved."""
        if not good:
            self._erred(who, kind)
        result = Result.PERMITTED if good else Result.REFUSED
        await self.vault.store.record(self._event(who, Operation.PROVE, actor, result, kind.value))
        return good

    def _event(self, who: Proven, operation: Operation, actor: Actor, result: Result, kind: str) -> VaultEvent:
        detail = {"reader": who.reader, "channel": kind}
        now = self.vault.clock.now()
        return VaultEvent(now, operation, actor, result, item=who.item, grant=who.grant, detail=detail)


def _counted(who: Proven, kind: Channel) -> str:
    return f"{kind} {who.grant if kind == Channel.PHRASE else who.reader}"


async def forget_channels(vault: Vault, reader: str, actor: Actor) -> int:
    """Take a reader's apps and passkeys away, for whoever has lost them; how many. Raises MtaError for nobody."""
    found = await vault.store.credentials(reader)
    if not found:
        raise MtaError(f"{reader} has set up no second channel")
    events = tuple(
        VaultEvent(
            vault.clock.now(),
            Operation.FORGET,
            actor,
            Result.DONE,
            detail={"reader": reader, "channel": one.kind},
        )
        for one in found
    )
    await vault.store.change(Change(events, forgotten=tuple(one.id for one in found)))
    return len(found)
