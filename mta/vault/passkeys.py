"""Passkeys of readers: made after a proof, used as a second channel."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import replace

from mta.errors import NotOpened
from mta.model.protected import Actor, Credential
from mta.policy.channel import Channel
from mta.ports.portal import Passkey, Passkeys
from mta.vault.channels import BEGUN_LIFE, SecondChannels
from mta.vault.credentials import new_credential
from mta.vault.sessions import Proven

_MOST_CHALLENGES = 5_000


class ReaderPasskeys:
    """Challenges are in this process' memory, for one reader and item, and are used once."""

    def __init__(self, channels: SecondChannels, library: Passkeys) -> None:
        self._channels, self._library = channels, library
        self._asked: OrderedDict[tuple[str, str, bool], tuple[bytes, float]] = OrderedDict()

    async def ask_new(self, who: Proven) -> str:
        """Options for making one, as JSON. Raises NotOpened if the reader may not set one up now."""
        if Channel.PASSKEY not in (await self._channels.step(who)).enrol:
            raise NotOpened("not-proven", "no passkey may be set up now")
        known = tuple(_passkey(one).id for one in await self._mine(who))
        return self._library.ask_new(who.reader, known, self._challenge(who, new=True))

    async def enrol(self, who: Proven, answer: bytes, actor: Actor) -> None:
        """The reader's from now on. Raises NotOpened."""
        if Channel.PASSKEY not in (await self._channels.step(who)).enrol:
            raise NotOpened("not-proven", "no passkey may be set up now")
        made = self._library.new(answer, self._take(who, new=True))
        data = {"id": made.id.hex(), "public": made.public.hex(), "count": made.count}
        fresh = new_credential(self._channels.vault, who.reader, Channel.PASSKEY, data)
        await self._channels.enrol(who, fresh, actor)

    async def ask(self, who: Proven) -> str:
        """Options for using one, as JSON."""
        known = tuple(_passkey(one).id for one in await self._mine(who))
        return self._library.ask(known, self._challenge(who, new=False))

    async def prove(self, who: Proven, answer: bytes, actor: Actor) -> bool:
        """Whether one of the reader's passkeys has signed; written down."""
        if not self._channels.may_err(who, Channel.PASSKEY):
            return False
        return await self._channels.proved(who, Channel.PASSKEY, await self._holds(who, answer), actor)

    async def _holds(self, who: Proven, answer: bytes) -> bool:
        try:
            challenge, id = self._take(who, new=False), self._library.named(answer)
            for one in await self._mine(who):
                key = _passkey(one)
                if key.id == id:
                    count = self._library.used(answer, challenge, key)
                    return await self._used(one, count)
        except NotOpened:
            return False
        return False

    async def _used(self, before: Credential, count: int) -> bool:
        vault, data = self._channels.vault, json.loads(before.data)
        after = replace(before, data=json.dumps({**data, "count": count}), used=vault.clock.now())
        return await vault.store.use_credential(before, after)

    async def _mine(self, who: Proven) -> list[Credential]:
        found = await self._channels.vault.store.credentials(who.reader)
        return [one for one in found if one.kind == Channel.PASSKEY]

    def _challenge(self, who: Proven, *, new: bool) -> bytes:
        vault = self._channels.vault
        challenge, place = vault.random(32), (who.reader, who.item, new)
        self._asked[place] = (challenge, vault.clock.now() + BEGUN_LIFE)
        self._asked.move_to_end(place)
        while len(self._asked) > _MOST_CHALLENGES:
            self._asked.popitem(last=False)
        return challenge

    def _take(self, who: Proven, *, new: bool) -> bytes:
        challenge, until = self._asked.pop((who.reader, who.item, new), (b"", 0.0))
        if until <= self._channels.vault.clock.now():
            raise NotOpened("not-proven", "nobody has asked for a passkey, or too long ago")
        return challenge


def _passkey(credential: Credential) -> Passkey:
    data = json.loads(credential.data)
    return Passkey(bytes.fromhex(data["id"]), bytes.fromhex(data["public"]), int(data["count"]))
