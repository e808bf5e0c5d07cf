"""Our log's witnesses: what they countersign is kept, what they contradict stops everything, their silence nothing."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import apsw
import pytest

from mta.contract.protection import Witness
from mta.errors import LogRefused, WitnessAway
from mta.model.tls import TrustAnchors
from mta.ports.vault_log import WitnessAnswer
from mta.rfc.tlog.checkpoint import cosignatures
from mta.rfc.tlog.event import SALT
from mta.rfc.tlog.note import VerifierKey, read_note
from mta.rfc.tlog.proof import read_receipt, verify_receipt
from mta.vault.log import checkpoint, receipt, verify
from mta.vault.tree import log_key
from mta.vault.witness import answer, witness_key
from mta.vault.witnesses import RENEWED, attend
from tests.support.vault import BOB, World, vault_world

PARTNER = "https://portal.fabrikam.example/log"


@dataclass
class Door:
    """Leads to the partner's vault, or to whatever `instead` answers."""

    partner: World
    asked: list[bytes] = field(default_factory=list)
    instead: Callable[[bytes], WitnessAnswer] | None = None

    async def ask(self, url: str, ca: TrustAnchors | None, request: bytes) -> WitnessAnswer:
        assert url == f"{PARTNER}/add-checkpoint"
        self.asked.append(request)
        if self.instead:
            return self.instead(request)
        verdict = await answer(self.partner.vault, request)
        return WitnessAnswer(verdict.status, verdict.content_type, verdict.body.encode())


def away(request: bytes) -> WitnessAnswer:
    raise WitnessAway("connection refused")


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    async with vault_world(tmp_path / "partner") as partner:
        yield Door(partner)


@contextlib.asynccontextmanager
async def house(folder: Path, door: Door, *, watched: bool = True) -> AsyncIterator[World]:
    """A process with the vault in `folder`, whose witness the partner is."""
    async with vault_world(folder, witnesses=door) as we:
        partner = door.partner
        partner.vault = replace(
            partner.vault, protection=replace(partner.vault.protection, witnessed_logs=(log_key(we.vault),))
        )
        witnesses = (Witness("fabrikam", PARTNER, witness_key(partner.vault)),) if watched else ()
        we.vault = replace(we.vault, protection=replace(we.vault.protection, witnesses=witnesses))
        yield we


def key_of(door: Door) -> VerifierKey:
    return witness_key(door.partner.vault)


async def test_a_new_checkpoint_is_countersigned_once_and_the_receipt_carries_it(tmp_path: Path, door: Door):
    async with house(tmp_path / "we", door) as we:
        await we.key(await we.seal(), BOB)
        note = await checkpoint(we.vault)
        await attend(we.vault)
        kept = (await we.vault.store.head()).checkpoint
        assert kept.startswith(note)
        assert list(cosignatures(read_note(kept.encode()), [key_of(door)])) == [key_of(door)]
        count = len(door.asked)
        await attend(we.vault)
        assert len(door.asked) == count  # nothing is new

        found = read_receipt(await receipt(we.vault, 1))
        entry = hashlib.sha256(found.extra[:SALT] + found.extra[SALT:]).digest()
        assert verify_receipt(found, entry, log_key(we.vault), [key_of(door)], needed=1).witnesses
        we.clock.at += RENEWED + 1
        await attend(we.vault)
        assert len(door.asked) == count + 1  # whether it still answers is looked at all the same


async def test_a_receipt_takes_the_checkpoint_that_was_seen(tmp_path: Path, door: Door):
    async with house(tmp_path / "we", door) as we:
        await we.key(await we.seal(), BOB)
        await checkpoint(we.vault)
        await attend(we.vault)
        await we.seal()
        found = read_receipt(await receipt(we.vault, 0))
        assert cosignatures(read_note(found.checkpoint), [key_of(door)])
        newest = read_receipt(await receipt(we.vault, 3))  # is not in what the witness has seen
        assert not cosignatures(read_note(newest.checkpoint), [key_of(door)])


async def restored(tmp_path: Path, door: Door, *, seals_after: int = 0) -> Path:
    """The vault of an old backup: the witness has seen what came later. `seals_after`: since it is back."""
    async with house(tmp_path / "we", door) as we:
        await we.key(await we.seal(), BOB)
        await checkpoint(we.vault)
        await attend(we.vault)
    shutil.copytree(tmp_path / "we", tmp_path / "backup")
    async with house(tmp_path / "we", door) as we:
        we.clock.at += 100
        for _ in range(3):
            await we.seal()
        await checkpoint(we.vault)
        await attend(we.vault)
    async with house(tmp_path / "backup", door, watched=False) as we:
        for _ in range(seals_after):
            await we.seal()
    return tmp_path / "backup"


@pytest.mark.parametrize("seals_after", [0, 2, 10])
async def test_an_old_backup_opens_nothing_and_signs_nothing(tmp_path: Path, door: Door, seals_after: int):
    folder = await restored(tmp_path, door, seals_after=seals_after)
    async with house(folder, door) as we:
        we.clock.at += 200
        item, before = await we.seal(), (await we.vault.store.head()).checkpoint  # sealing goes on
        with pytest.raises(LogRefused, match=r"fabrikam contradicts the log: it has seen 6 entries.*Bring back"):
            await we.key(item, BOB)
        with pytest.raises(LogRefused):
            await checkpoint(we.vault)
        assert (await we.vault.store.head()).checkpoint == before
        faults = (await verify(we.vault)).faults
        assert any("fabrikam contradicts" in fault for fault in faults)
    async with house(folder, door) as we:  # the next process knows it without asking
        we.clock.at += 201
        door.instead = away
        with pytest.raises(LogRefused):
            await we.key(await we.seal(), BOB)


async def test_a_log_that_grew_into_another_history_is_found_by_its_proof(tmp_path: Path, door: Door):
    folder = await restored(tmp_path, door)
    async with house(folder, door, watched=False) as we:  # somebody signs on without witnesses
        for _ in range(9):
            await we.seal()
        await checkpoint(we.vault)
    async with house(folder, door) as we:
        we.clock.at += 200
        with pytest.raises(LogRefused, match="is not the beginning of ours of 12"):
            await attend(we.vault)
        with pytest.raises(LogRefused):
            await we.key(await we.seal(), BOB)


async def test_a_vault_that_was_lost_is_known_by_its_witness(tmp_path: Path, door: Door):
    async with house(tmp_path / "we", door) as we:
        await we.seal()
        await checkpoint(we.vault)
        await attend(we.vault)
    for name in ("vault.db", "vault.db-wal", "vault.db-shm"):
        (tmp_path / "we" / name).unlink(missing_ok=True)
    async with house(tmp_path / "we", door) as we:
        with pytest.raises(LogRefused, match="2 entries of this log, and 0 are the most"):
            await checkpoint(we.vault)


async def test_two_roots_of_one_size_are_contradicted(tmp_path: Path, door: Door):
    async with house(tmp_path / "we", door) as we:
        await we.seal()
        await checkpoint(we.vault)
        await attend(we.vault)
        shutil.copy(tmp_path / "we" / "policy.key", tmp_path / "policy.key")
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "policy.key", tmp_path / "other" / "policy.key")
    async with house(tmp_path / "other", door, watched=False) as we:
        await we.seal()
        await checkpoint(we.vault)
    async with house(tmp_path / "other", door) as we:
        with pytest.raises(LogRefused, match="its log of 2 entries is another one"):
            await attend(we.vault)


async def test_who_does_not_answer_stops_nothing_is_told_and_left_alone_for_a_while(tmp_path: Path, door: Door):
    async with house(tmp_path / "we", door) as we:
        door.instead = away
        item = await we.seal()
        await we.key(item, BOB)
        await checkpoint(we.vault)
        count = len(door.asked)
        with pytest.raises(WitnessAway, match="fabrikam has countersigned 0 of 3 entries: connection refused"):
            await attend(we.vault)  # what was found when the item was opened
        await attend(we.vault)
        assert len(door.asked) == count
        we.clock.at += 6
        with pytest.raises(WitnessAway):
            await attend(we.vault)
        proven = await verify(we.vault)
        assert (proven.faults, proven.witnesses[0].missing) == ((), 3)
        we.clock.at += 6  # the pause has doubled
        await attend(we.vault)
        assert len(door.asked) == count + 1
        door.instead = None
        we.clock.at += 5
        await attend(we.vault)
        assert (await verify(we.vault)).witnesses[0].missing == 0


ANSWERS = [
    (WitnessAnswer(404), "404: it does not know our log"),
    (WitnessAnswer(403), "403: our signature does not hold"),
    (WitnessAnswer(302), "302"),
    (WitnessAnswer(503), "503"),
    (WitnessAnswer(200, "", b""), "signatures"),
    (WitnessAnswer(200, "", b"\xff"), "holds no cosignature"),
    (WitnessAnswer(409, "text/plain", b"7\n"), "409"),
    (WitnessAnswer(409, "text/x.tlog.size", b"-7\n"), "no size"),
    (WitnessAnswer(409, "text/x.tlog.size", b"9" * 40 + b"\n"), "no size"),
]


@pytest.mark.parametrize(("said", "told"), ANSWERS, ids=[f"{one.status}-{n}" for n, (one, _) in enumerate(ANSWERS)])
async def test_an_answer_that_says_nothing_is_no_contradiction(
    tmp_path: Path, door: Door, said: WitnessAnswer, told: str
):
    async with house(tmp_path / "we", door) as we:
        door.instead = lambda request: said
        await we.key(await we.seal(), BOB)
        [watch] = (await we.vault.store.watches()).values()
        assert told in watch.fault
        assert not watch.refusal


async def test_a_cosignature_by_another_key_is_none(tmp_path: Path, door: Door):
    async with vault_world(tmp_path / "third") as third, house(tmp_path / "we", door) as we:
        stranger = replace(we.vault.protection.witnesses[0], key=witness_key(third.vault))
        we.vault = replace(we.vault, protection=replace(we.vault.protection, witnesses=(stranger,)))
        await we.key(await we.seal(), BOB)
        await checkpoint(we.vault)
        with pytest.raises(WitnessAway, match="holds no cosignature"):
            await attend(we.vault)


async def test_a_kept_cosignature_that_was_changed_is_told(tmp_path: Path, door: Door):
    async with house(tmp_path / "we", door) as we:
        await we.seal()
        await checkpoint(we.vault)
        await attend(we.vault)
    db = apsw.Connection(str(tmp_path / "we" / "vault.db"))
    [[note]] = db.execute("SELECT note FROM checkpoint").fetchall()
    body = note.rstrip("\n").rpartition(" ")[2]
    broken = body[:40] + ("A" if body[40] != "A" else "B") + body[41:]
    db.execute("UPDATE checkpoint SET note = ?", (note.replace(body, broken),))
    db.close()
    async with house(tmp_path / "we", door) as we:
        assert any("cosignature of" in fault for fault in (await verify(we.vault)).faults)


async def test_a_witness_that_is_none_any_more_is_forgotten_and_that_is_logged(tmp_path: Path, door: Door):
    folder = await restored(tmp_path, door)
    async with house(folder, door) as we:
        we.clock.at += 200
        with pytest.raises(LogRefused):
            await we.key(await we.seal(), BOB)
    async with house(folder, door, watched=False) as we:
        await we.key(await we.seal(), BOB)
        last = (await we.vault.store.entries(0, 100))[-2]
        assert b"no witness of the log any more; it said:" in last.story
