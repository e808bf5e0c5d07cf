"""What is learned from signed mail: kept, bounded, and used once it is approved."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.adapters.directory import harvested as module
from mta.adapters.directory.harvested import APPROVED, PENDING, REJECTED, HarvestedSource
from mta.model.directory import Harvest, SourceStatus
from mta.observe.log import EventLog
from tests.support.people import BOB, der, mailbox
from tests.support.pki import authority

CA = authority("People CA").der


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with open(tmp_path / "log", "wb") as file:
        yield EventLog(file.fileno(), "json")


def harvest(certificate: bytes, at: float = 1.0, address: str = BOB) -> Harvest:
    return Harvest(mailbox(address), certificate, (certificate, CA), ("aes256-gcm", "aes256-cbc"), at)


async def test_it_waits_for_a_person_unless_told_otherwise(tmp_path: Path, log: EventLog) -> None:
    manual = HarvestedSource(tmp_path / "h", False, log)
    automatic = HarvestedSource(tmp_path / "h", True, log)
    assert (await manual.find(mailbox())).status is SourceStatus.NONE
    assert not (tmp_path / "h").exists()  # asking makes no file
    one = der()
    await manual.remember(harvest(one), one)
    (found,) = (await manual.find(mailbox())).candidates
    assert (found.der, found.pending, found.chain) == (one, True, (CA,))
    assert found.capabilities == ("aes256-gcm", "aes256-cbc")
    assert not (await automatic.find(mailbox())).candidates[0].pending
    (known,) = await manual.listing("*")
    await manual.decide(BOB, known.sha256[:8], APPROVED)
    assert not (await manual.find(mailbox())).candidates[0].pending
    await manual.decide(BOB, known.sha256, REJECTED)
    assert (await automatic.find(mailbox())).candidates == ()
    await manual.remember(harvest(one, 2.0), one)  # it is seen again, and stays rejected
    (known,) = await manual.listing("*")
    assert (known.state, known.first, known.seen) == (REJECTED, 1.0, 2.0)
    assert "directory.learned" in (tmp_path / "log").read_text()


async def test_it_survives_a_restart_and_is_shared(tmp_path: Path, log: EventLog) -> None:
    first, second = (HarvestedSource(tmp_path / "h", True, log) for _ in range(2))
    ones = [der() for _ in range(6)]
    await asyncio.gather(
        *(source.remember(harvest(one), one) for source, one in zip((first, second) * 3, ones, strict=True))
    )
    await first.close()
    again = HarvestedSource(tmp_path / "h", True, log)
    for source in (second, again):
        assert {one.der for one in (await source.find(mailbox())).candidates} == set(ones)


async def test_one_address_has_a_bound_and_approved_ones_stay(tmp_path: Path, log: EventLog) -> None:
    source = HarvestedSource(tmp_path / "h", False, log)
    ones = [der() for _ in range(module.MOST_OF_ONE + 2)]
    for at, one in enumerate(ones):
        await source.remember(harvest(one, float(at)), one)
        if at == 0:
            await source.decide(BOB, "", APPROVED)
    kept = await source.listing("*")
    assert len(kept) == module.MOST_OF_ONE
    assert {row.der for row in kept} == {ones[0], *ones[3:]}  # of those that wait, the longest unseen made room


async def test_all_of_them_have_a_bound(tmp_path: Path, log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    source = HarvestedSource(tmp_path / "h", False, log)
    one = der()
    for at in range(5):
        await source.remember(harvest(one, float(at), f"u{at}@fabrikam.example"), one)
    assert [row.key for row in await source.listing("*")] == [f"u{at}@fabrikam.example" for at in (2, 3, 4)]
    assert {row.state for row in await source.listing("u3@*")} == {PENDING}


async def test_what_cannot_be_kept_is_told_and_harms_nobody(tmp_path: Path, log: EventLog) -> None:
    source = HarvestedSource(tmp_path / "no" / "folder" / "h", True, log)
    one = der()
    await source.remember(harvest(one), one)
    assert "directory.fault" in (tmp_path / "log").read_text()
