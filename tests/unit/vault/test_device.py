"""Programs that wait to be let in (RFC 8628): one use, for one key, with an end, and not asked too often."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mta.errors import StorageError
from mta.model.protected import Actor
from mta.policy.pace import Pace
from mta.vault.device import INTERVAL, LIFE, Device, DevicePaces, Devices, Polled, user_code
from mta.vault.prove import Proofs
from tests.support.vault import BOB, World, vault_world

KEY, NET = "thumbprint", "192.0.2.0/24"
PROGRAM = Actor("", "device", "192.0.2.7", "mta")
READER = Actor(BOB, "code", "198.51.100.1", "browser")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with vault_world(tmp_path) as made:
        yield made


def begun(devices: Devices) -> tuple[str, Device]:
    made = devices.begin("mta open", KEY, PROGRAM, NET)
    assert made
    return made


async def test_who_is_let_in_gets_one_token_for_its_own_key(world: World):
    devices = Devices(world.vault)
    code, device = begun(devices)
    assert devices.poll(code, KEY) == Polled("authorization_pending")
    found = devices.find(device.shown.lower(), NET)
    assert found
    await devices.decide(found, BOB, True, READER)
    assert devices.poll(code, "another key") == Polled("invalid_grant")
    assert devices.poll(code, KEY) == Polled(address=BOB, client="mta open")
    assert devices.poll(code, KEY) == Polled("invalid_grant")
    assert devices.find(device.user_code, NET) is None
    story = (await world.vault.store.entries(0, 100))[-1].story
    assert b'"op":"device"' in story
    assert b'"program_ip":"192.0.2.7"' in story


async def test_refusal_is_final(world: World):
    devices = Devices(world.vault)
    code, device = begun(devices)
    await devices.decide(device, BOB, False, READER)
    await devices.decide(device, BOB, True, READER)
    assert devices.poll(code, KEY) == Polled("access_denied")
    assert devices.poll(code, KEY) == Polled("invalid_grant")


async def test_what_cannot_be_written_down_does_not_count(world: World, monkeypatch: pytest.MonkeyPatch):
    devices = Devices(world.vault)
    code, device = begun(devices)

    async def full(self: object, *events: object) -> int:
        raise StorageError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.vault.store), "record", full)
        with pytest.raises(StorageError):
            await devices.decide(device, BOB, True, READER)
    assert devices.poll(code, KEY) == Polled("authorization_pending")


async def test_its_time_ends(world: World):
    devices = Devices(world.vault)
    code, device = begun(devices)
    await devices.decide(device, BOB, True, READER)
    world.clock.at += LIFE
    assert devices.poll(code, KEY) == Polled("expired_token")
    late, waiting = begun(devices)
    world.clock.at += LIFE
    assert devices.find(waiting.user_code, NET) is None
    await devices.decide(waiting, BOB, True, READER)
    assert devices.poll(late, KEY).address == ""


async def test_who_asks_too_often_is_told_to_slow_down_and_must(world: World):
    devices = Devices(world.vault)
    code, _ = begun(devices)
    assert devices.poll(code, KEY).word == "authorization_pending"
    world.clock.at += INTERVAL / 2
    assert devices.poll(code, KEY).word == "slow_down"
    world.clock.at += INTERVAL + 1
    assert devices.poll(code, KEY).word == "slow_down"
    world.clock.at += 20
    assert devices.poll(code, KEY).word == "authorization_pending"


async def test_guessing_user_codes_and_beginning_without_end_are_paced(world: World):
    devices = Devices(world.vault, DevicePaces(begun=Pace(2, 60), wrong=Pace(3, 60)))
    _, device = begun(devices)
    assert all(devices.find("BCDF-BCDF", NET) is None for _ in range(3))
    assert devices.find(device.user_code, NET) is None
    assert devices.find(device.user_code, "203.0.113.0/24")
    begun(devices)
    assert devices.begin("mta open", KEY, PROGRAM, NET) is None
    assert devices.begin("mta open", KEY, PROGRAM, "203.0.113.0/24")


@pytest.mark.parametrize("typed", ["bcdf-ghjk", " BCDF GHJK ", "BCDFGHJK", "b c d f g h j k", "BCDF–GHJK"])
def test_a_user_code_is_known_however_it_is_typed(typed: str):
    assert user_code(typed) == "BCDFGHJK"


PROVERS = [
    ((BOB,), BOB, BOB),
    ((BOB,), "Bob@Fabrikam.Example", BOB),
    (("@fabrikam.example",), "carol@fabrikam.example", "carol@fabrikam.example"),
    (("internal",), "dave@contoso.example", "dave@contoso.example"),
    ((BOB,), "eve@tailspin.example", None),
    (("internal",), "eve@tailspin.example", None),
    ((BOB,), "no address", None),
    ((BOB,), "", None),
]


@pytest.mark.parametrize(("readers", "typed", "proven"), PROVERS, ids=range(len(PROVERS)))
async def test_a_code_goes_to_who_may_read_something(
    world: World, readers: tuple[str, ...], typed: str, proven: str | None
):
    await world.seal(readers=readers)
    proofs = Proofs(world.vault)
    started = await proofs.start_program("BCDFGHJK", typed)
    assert (started.letter.to if started.letter else None) == proven
    if started.letter:
        assert (started.letter.item, started.letter.program) == (None, "BCDFGHJK")
        assert proofs.answer("GHJKBCDF", started.cookie, started.letter.code, NET) is None  # another program's page
        good = proofs.answer("BCDFGHJK", started.cookie, started.letter.code, NET)
        assert good
        assert good.reader == proven
