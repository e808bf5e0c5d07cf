"""Second channels of readers: set up, proved once, counted, forgotten; and that nothing opens without them."""

from __future__ import annotations

import json
from base64 import b32decode
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path

import pytest

from mta.adapters.passkeys import WebAuthn
from mta.contract.protection import Label, Protection, SmsGateway
from mta.errors import MtaError, NotOpened
from mta.model.protected import Actor, Item
from mta.model.rights import Right, expand
from mta.observe.vault_events import Operation
from mta.policy.channel import Channel
from mta.ports.vault import Change
from mta.rfc.otp.totp import STEP, hotp
from mta.rfc.tdf.open import read_protected
from mta.vault.channels import SecondChannels, forget_channels
from mta.vault.credentials import phrase_credentials
from mta.vault.open import OpenRequest, open_key
from mta.vault.passkeys import ReaderPasskeys
from mta.vault.sessions import Proven
from tests.support.authenticator import Authenticator
from tests.support.vault import BOB, EVE, World, vault_world

HOST = "portal.contoso.example"
URL = f"https://{HOST}"
NUMBER = "+491701234567"


@dataclass
class Phones:
    """Remembers what was sent."""

    sent: list[tuple[str, str]] = field(default_factory=list)
    away: bool = False

    async def send(self, number: str, text: str) -> None:
        if self.away:
            raise MtaError("no answer")
        self.sent.append((number, text))


@dataclass
class Setting:
    """An item that Bob has proved himself for once, and what stands beside it."""

    world: World
    item: Item
    who: Proven
    phones: Phones
    channels: SecondChannels

    @property
    def actor(self) -> Actor:
        return Actor(self.who.reader, self.who.method)

    def code(self, secret: str, steps: int = 0) -> str:
        plain = secret.replace(" ", "")
        return hotp(b32decode(plain + "=" * (-len(plain) % 8)), int(self.world.clock.now() // STEP) + steps)

    async def told(self) -> list[tuple[str, str, str]]:
        entries = await self.world.vault.store.entries(0, 100)
        events = [json.loads(one.story) for one in entries]
        return [(e["op"], e["result"], e["channel"]) for e in events if "channel" in e]


async def setting(world: World, *channels: str, wish: str = "demanded") -> Setting:
    label = Label("strict", rights=expand("co-author"), second_channel=wish, channels=channels)
    gateway = SmsGateway("https://sms.example/send", numbers={BOB: NUMBER})
    vault = replace(world.vault, protection=Protection("x", labels={"strict": label}, sms=gateway))
    world.vault = vault
    item = await world.seal(readers=(BOB, EVE), label=label)
    grant = next(one for one in await vault.store.grants(item.id) if one.reader == BOB)
    phones = Phones()
    return Setting(world, item, Proven(item.id, grant.id, BOB), phones, SecondChannels(vault, phones))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with vault_world(tmp_path) as made:
        yield made


async def test_an_app_is_set_up_and_its_codes_are_good_once(world: World):
    here = await setting(world, "totp")
    secret = here.channels.begin_app(here.who, HOST)
    assert here.channels.begin_app(here.who, HOST) == secret  # asked again
    assert not await here.channels.enrol_app(here.who, "000000", here.actor)
    assert not await world.vault.store.credentials(BOB)
    assert await here.channels.enrol_app(here.who, here.code(secret.text), here.actor)
    step = await here.channels.step(here.who)
    assert (step.ask, step.ways, step.enrol) == (True, (Channel.TOTP,), ())
    assert not await here.channels.prove_app(here.who, here.code(secret.text), here.actor)  # used by setting it up
    world.clock.at += STEP
    other = SecondChannels(here.channels.vault)  # another process, or after a reload
    assert await other.prove_app(here.who, here.code(secret.text), here.actor)
    assert not await here.channels.prove_app(here.who, here.code(secret.text), here.actor)
    assert await here.told() == [
        ("enrol", "done", "totp"),
        ("prove", "refused", "totp"),
        ("prove", "permitted", "totp"),
        ("prove", "refused", "totp"),
    ]


async def test_the_secret_of_an_app_is_sealed_in_the_store(world: World):
    here = await setting(world, "totp")
    secret = here.channels.begin_app(here.who, HOST)
    await here.channels.enrol_app(here.who, here.code(secret.text), here.actor)
    (kept,) = await world.vault.store.credentials(BOB)
    assert secret.text.replace(" ", "") not in kept.data
    moved = replace(kept, id="other", subject=EVE)
    await world.vault.store.change(Change((), credentials=(moved,)))
    with pytest.raises(MtaError, match="does not open"):  # it cannot be given to somebody else
        await here.channels.prove_app(replace(here.who, reader=EVE), "123456", here.actor)


async def test_ten_wrong_codes_an_hour_and_no_more(world: World):
    here = await setting(world, "totp")
    secret = here.channels.begin_app(here.who, HOST)
    await here.channels.enrol_app(here.who, here.code(secret.text), here.actor)
    world.clock.at += STEP
    for _ in range(10):
        assert not await here.channels.prove_app(here.who, "000000", here.actor)
    assert not await here.channels.prove_app(here.who, here.code(secret.text), here.actor)
    world.clock.at += 3600
    assert await here.channels.prove_app(here.who, here.code(secret.text), here.actor)


async def test_a_phrase_is_of_its_grant_and_wrong_ones_are_counted(world: World):
    here = await setting(world, "phrase")
    grants = await world.vault.store.grants(here.item.id)
    mine = [one for one in grants if one.reader == BOB]
    await world.vault.store.change(Change((), credentials=phrase_credentials(here.channels.vault, "Blue  Moon", mine)))
    assert (await here.channels.step(here.who)).ways == (Channel.PHRASE,)
    assert await here.channels.prove_phrase(here.who, " blue moon ", here.actor)
    hers = replace(here.who, grant="another", reader=EVE)
    assert not await here.channels.prove_phrase(hers, "blue moon", here.actor)
    for _ in range(5):
        assert not await here.channels.prove_phrase(here.who, "red moon", here.actor)
    assert not await here.channels.prove_phrase(here.who, "blue moon", here.actor)
    world.clock.at += 300
    assert await here.channels.prove_phrase(here.who, "blue moon", here.actor)
    assert "moon" not in (await world.vault.store.credentials(here.who.grant))[0].data


async def test_a_code_by_sms_goes_to_the_number_that_we_know(world: World):
    here = await setting(world, "sms")
    assert here.channels.masked_number(here.who) == "\u202667"
    assert await here.channels.send_code(here.who, "code {code}")
    (number, text) = here.phones.sent[0]
    assert number == NUMBER
    code = text.removeprefix("code ")
    assert not await here.channels.prove_sms(replace(here.who, reader=EVE), code, here.actor)
    assert await here.channels.prove_sms(here.who, code, here.actor)
    assert not await here.channels.prove_sms(here.who, code, here.actor)  # once
    assert not await here.channels.send_code(replace(here.who, reader=EVE), "code {code}")  # she has no number


async def test_messages_and_attempts_by_sms_are_few(world: World):
    here = await setting(world, "sms")
    await here.channels.send_code(here.who, "{code}")
    for _ in range(5):
        assert not await here.channels.prove_sms(here.who, "x", here.actor)
    assert not await here.channels.prove_sms(here.who, here.phones.sent[0][1], here.actor)
    assert [await here.channels.send_code(here.who, "{code}") for _ in range(5)] == [True] * 4 + [False]
    here.phones.away = True
    world.clock.at += 3600
    with pytest.raises(MtaError, match="no answer"):
        await here.channels.send_code(here.who, "{code}")


async def test_a_passkey_is_made_and_used(world: World):
    here = await setting(world, "passkey")
    passkeys = ReaderPasskeys(here.channels, WebAuthn(URL, HOST))
    mine = Authenticator(URL, HOST)
    answer = mine.make(await passkeys.ask_new(here.who))
    with pytest.raises(NotOpened):  # the challenge was for another reader
        await passkeys.enrol(replace(here.who, reader=EVE), answer, here.actor)
    await passkeys.enrol(here.who, answer, here.actor)
    with pytest.raises(NotOpened):  # nobody else at the mailbox adds one of theirs
        await passkeys.ask_new(here.who)
    used = mine.use(await passkeys.ask(here.who))
    assert await passkeys.prove(here.who, used, here.actor)
    assert not await passkeys.prove(here.who, used, here.actor)  # a challenge is good once
    elsewhere = replace(mine, origin="https://evil.example")
    assert not await passkeys.prove(here.who, elsewhere.use(await passkeys.ask(here.who)), here.actor)
    stranger = Authenticator(URL, HOST, count=50)
    assert not await passkeys.prove(here.who, stranger.use(await passkeys.ask(here.who)), here.actor)
    unverified = replace(mine, flags=1)  # touched, but nobody has shown who they are
    assert not await passkeys.prove(here.who, unverified.use(await passkeys.ask(here.who)), here.actor)
    copied = replace(mine, count=0)
    assert not await passkeys.prove(here.who, copied.use(await passkeys.ask(here.who)), here.actor)
    for junk in (b"", b"[]", b"{}", b'{"rawId": 1}', b"\xff"):
        await passkeys.ask(here.who)
        assert not await passkeys.prove(here.who, junk, here.actor)


@pytest.mark.parametrize(
    ("channels", "opens"), [((), False), (("sms",), False), (("totp",), True), (None, True)], ids=str
)
async def test_the_vault_opens_nothing_without_what_is_demanded(
    world: World, channels: tuple[str, ...] | None, opens: bool
):
    here = await setting(world, "totp")
    manifest = read_protected(BytesIO(world.containers[here.item.id])).manifest
    request = OpenRequest(
        manifest.keys[0], manifest.policy, BOB, Right.VIEW, Operation.REWRAP, here.actor, channels=channels
    )
    if opens:
        assert (await open_key(here.channels.vault, request)).content_key
    else:
        with pytest.raises(NotOpened, match="second channel"):
            await open_key(here.channels.vault, request)


async def test_who_has_lost_an_app_is_given_a_new_start(world: World):
    here = await setting(world, "totp")
    secret = here.channels.begin_app(here.who, HOST)
    await here.channels.enrol_app(here.who, here.code(secret.text), here.actor)
    assert await forget_channels(world.vault, BOB, Actor("root", "console")) == 1
    assert (await here.channels.step(here.who)).enrol == (Channel.TOTP,)
    with pytest.raises(MtaError):
        await forget_channels(world.vault, BOB, Actor("root", "console"))
