"""What every store of a vault keeps: one suite, whatever it stands on."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mta.adapters.vault_sqlite import open_vault
from mta.errors import LogRefused, StorageError
from mta.model.protected import Actor, Grant, Item, ItemState, KeyState, RootKey, SuperUser, VaultEvent
from mta.model.rights import expand
from mta.observe.vault_events import Operation, Result
from mta.ports.vault import Change, ItemFilter, VaultStore
from mta.ports.vault_log import Watch

Open = Callable[[], contextlib.AbstractAsyncContextManager[VaultStore]]
ACTOR = Actor("alice@contoso.example", "console")
NOW = 1_700_000_000.0


@pytest.fixture(params=["sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    """Opens the same store again and again; what was written is there each time."""
    assert request.param == "sqlite"

    @contextlib.asynccontextmanager
    async def open_() -> AsyncIterator[VaultStore]:
        store = open_vault(tmp_path)
        try:
            yield store
        finally:
            await store.close()

    return open_


def item(number: int = 0, **more: object) -> Item:
    id = f"item{number:04d}"
    digest = hashlib.sha256(id.encode()).digest()
    made = Item(id, digest, b"p" * 32, "uuid", "file", "confidential", "alice@contoso.example", "a.txt", "r1", NOW)
    return replace(made, **more)  # type: ignore[arg-type]


def grant(number: int = 0, reader: str = "bob@fabrikam.example", **more: object) -> Grant:
    made = Grant(f"grant{number}{reader}", f"item{number:04d}", reader, expand("do-not-forward"), "alice", NOW)
    return replace(made, **more)  # type: ignore[arg-type]


def event(operation: Operation = Operation.PROTECT, item: str = "", result: Result = Result.DONE) -> VaultEvent:
    return VaultEvent(NOW, operation, ACTOR, result, item=item)


async def put(store: VaultStore, number: int = 0, **more: object) -> Item:
    made = item(number, **more)
    await store.seal(made, b"share%04d" % number, (grant(number),), event(item=made.id))
    return made


async def test_what_was_sealed_is_there_again(opened: Open):
    async with opened() as store:
        made = await put(store)
    async with opened() as store:
        assert await store.by_wrapped(made.wrapped_digest) == made
        assert await store.item("item00") == made
        assert await store.grants(made.id) == (grant(),)
        assert await store.share(made) == b"share0000"
        assert (await store.head()).size == 1


async def test_the_same_wrapped_key_twice_is_refused_whole(opened: Open):
    async with opened() as store:
        await put(store)
        twin = replace(item(), id="twin")
        with pytest.raises(StorageError):
            await store.seal(twin, b"other", (grant(reader="eve@x.example"),), event(item="twin"))
        assert (await store.head()).size == 1
        assert await store.item("twin") is None
        assert await store.share(item()) == b"share0000"


async def test_many_at_once_are_each_whole_and_the_log_has_no_gap(opened: Open):
    async with opened() as store:
        await asyncio.gather(*(put(store, number) for number in range(50)))
        assert [entry.number for entry in await store.entries(0, 100)] == list(range(50))
        assert len(await store.find(ItemFilter())) == 50


async def test_one_of_many_that_fails_takes_no_other_with_it(opened: Open):
    async with opened() as store:
        await put(store, 7)
        made = await asyncio.gather(*(put(store, number) for number in range(10)), return_exceptions=True)
        assert [isinstance(one, StorageError) for one in made] == [number == 7 for number in range(10)]
        assert (await store.head()).size == 10


async def test_filters_and_pages(opened: Open):
    async with opened() as store:
        for number in range(6):
            await put(store, number, label="a" if number % 2 else "b", owner=f"o{number % 3}@x.example")

        async def ids(**words: object) -> list[str]:
            return [found.id[-1] for found, _ in await store.find(ItemFilter(**words))]  # type: ignore[arg-type]

        assert await ids(label="a") == ["1", "3", "5"]
        assert await ids(owner="o0@x.example") == ["0", "3"]
        assert await ids(reader="bob@fabrikam.example", limit=2) == ["0", "1"]
        assert await ids(after="item0003") == ["4", "5"]
        assert await ids(reader="eve@x.example") == []
        assert await ids(id="item0002") == ["2"]
        assert await store.item("item") is None  # several begin so


async def test_opens_are_counted_and_refusals_are_not(opened: Open):
    async with opened() as store:
        made = await put(store)
        await store.record(event(Operation.OPEN, made.id, Result.PERMITTED))
        await store.record(event(Operation.OPEN, made.id, Result.REFUSED))
        await store.record(event(Operation.REWRAP, made.id, Result.PERMITTED))
        assert [(found.id, opens) for found, opens in await store.find(ItemFilter())] == [(made.id, 2)]


async def test_a_change_is_whole(opened: Open):
    async with opened() as store:
        made = await put(store)
        revoked = grant(revoked_at=NOW + 1)
        extra = grant(reader="@tailspin.example")
        change = Change(
            (event(Operation.REVOKE, made.id),),
            grants=(revoked, extra),
            items=((made.id, ItemState.HELD),),
            ends=((made.id, NOW + 5),),
        )
        await store.change(change)
    async with opened() as store:
        assert set(await store.grants(made.id)) == {revoked, extra}
        assert await store.item(made.id) == replace(made, state=ItemState.HELD, not_after=NOW + 5)


async def test_a_destroyed_share_is_gone_and_the_item_tells(opened: Open):
    async with opened() as store:
        made, other = await put(store), await put(store, 1)
        ended = ((made.id, ItemState.SHREDDED),)
        await store.change(Change((event(Operation.SHRED, made.id),), items=ended, shares_of=(made.id,)))
        assert await store.share(made) is None
        assert await store.share(other) == b"share0001"
        assert (await store.item(made.id) or other).state == ItemState.SHREDDED


async def test_due_items_are_live_ones_whose_time_is_over(opened: Open):
    async with opened() as store:
        for number, (end, state) in enumerate(
            [(5, ItemState.LIVE), (3, ItemState.LIVE), (0, ItemState.LIVE), (4, ItemState.HELD), (9, ItemState.LIVE)]
        ):
            await put(store, number, not_after=NOW + end if end else 0.0, state=state)
        assert [due.id[-1] for due in await store.due(NOW + 5, 10)] == ["1", "0"]
        assert [due.id[-1] for due in await store.due(NOW + 5, 1)] == ["1"]


async def test_a_sweep_takes_what_a_crash_left_and_nothing_else(opened: Open):
    async with opened() as store:
        live, held = await put(store, 0), await put(store, 1, state=ItemState.HELD)
        ended = await put(store, 2, state=ItemState.EXPIRED)
        assert await store.sweep(NOW + 10) == 1
        assert await store.share(ended) is None
        assert await store.share(live) is not None
        assert await store.share(held) is not None


async def test_shares_are_covered_anew(opened: Open):
    async with opened() as store:
        for number in range(3):
            await put(store, number)
        await store.renew_shares(lambda covered: None if covered.endswith(b"1") else b"new" + covered)
        assert [await store.share(item(number)) for number in range(3)] == [
            b"newshare0000",
            b"share0001",
            b"newshare0002",
        ]


async def test_root_keys_are_replaced_by_id(opened: Open):
    key = RootKey("r1", "a.key", b"spki", 2048, KeyState.ACTIVE, NOW, NOW)
    async with opened() as store:
        await store.change(Change((event(Operation.KEY_CREATE),), keys=(key,)))
        held = replace(key, state=KeyState.HELD, changed=NOW + 1)
        await store.change(Change((event(Operation.KEY_HOLD),), keys=(held,)))
        assert await store.root_keys() == (held,)


# --- the log --------------------------------------------------------------------------------------------------------


def tree(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, as it stands there."""
    if len(leaves) < 2:
        return hashlib.sha256(b"\x00" + leaves[0]).digest() if leaves else hashlib.sha256(b"").digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + tree(leaves[:split]) + tree(leaves[split:])).digest()


async def test_the_root_is_that_of_the_standard_at_every_size(opened: Open):
    async with opened() as store:
        leaves: list[bytes] = []
        for size in range(40):
            assert (await store.head()).root == tree(leaves)
            await store.record(event())
            leaves.append((await store.entries(size, 1))[0].leaf)


async def test_tiles_have_the_hash_of_every_full_tile_below(opened: Open):
    async with opened() as store:
        await store.record(*(event() for _ in range(600)))
        leaves = [entry.leaf for entry in await store.entries(0, 1000)]
        assert await store.hashes(0, 10, 2) == [hashlib.sha256(b"\x00" + leaf).digest() for leaf in leaves[10:12]]
        assert await store.hashes(1, 0, 10) == [tree(leaves[:256]), tree(leaves[256:512])]
        assert (await store.head()).root == tree(leaves)


async def test_an_entry_tells_what_happened_and_can_be_redacted(opened: Open):
    async with opened() as store:
        made = await put(store)
        before = (await store.entries(0, 1))[0]
        assert json.loads(before.story)["subject"] == ACTOR.subject
        root = (await store.head()).root
        await store.redact(0, event(Operation.REDACT))
        after, told = await store.entries(0, 10)
        assert (after.leaf, after.salt, after.story) == (before.leaf, b"", b"")
        assert json.loads(told.story)["op"] == "redact"
        assert await store.entries_of(made.id, 10) == []
        assert (await store.head()).root != root


async def test_no_checkpoint_of_a_shorter_log_is_kept(opened: Open):
    async with opened() as store:
        await store.record(event(), event())
        ours, theirs = "\u2014 log AAAAAAA=\n", "\u2014 witness AAAAAAA=\n"
        await store.put_checkpoint(2, f"two\n\n{ours}")
        with pytest.raises(StorageError):
            await store.put_checkpoint(1, f"one\n\n{ours}")
        await store.put_checkpoint(2, f"two\n\n{theirs}")
        await store.put_checkpoint(2, f"two\n\n{ours}")
        assert (await store.head()).checkpoint == f"two\n\n{ours}{theirs}"
        with pytest.raises(StorageError):
            await store.put_checkpoint(2, f"another two\n\n{ours}")
        await store.put_checkpoint(3, f"three\n\n{ours}")
        assert [note.partition("\n")[0] for note in await store.checkpoints(1, 10)] == ["three", "two"]
        assert [note.partition("\n")[0] for note in await store.checkpoints(1, 1)] == ["three"]


REFUSED = Watch("fabrikam", 7, NOW, NOW, "", "it has seen 9 entries")


async def test_while_a_witness_contradicts_nothing_opens_and_nothing_is_signed(opened: Open):
    async with opened() as store:
        made = await put(store)
        await store.put_watch("key", REFUSED)
    opening = event(Operation.OPEN, made.id, Result.PERMITTED)
    async with opened() as store:
        assert await store.watches() == {"key": REFUSED}
        size = (await store.head()).size
        for blocked in (store.record(opening), store.record(event(), opening), store.put_checkpoint(1, "note")):
            with pytest.raises(LogRefused, match="9 entries"):
                await blocked
        assert (await store.head()).size == size
        await store.record(event(Operation.OPEN, made.id, Result.REFUSED))  # what does not open is still written down
        await put(store, 2)
        await store.put_watch("key", None)
        await store.record(opening)
        assert await store.watches() == {}


async def test_two_processes_share_one_vault(opened: Open):
    async with opened() as one, opened() as two:
        await asyncio.gather(*(put(store, number) for number in range(20) for store in [(one, two)[number % 2]]))
        assert (await one.head()) == (await two.head())
        leaves = [entry.leaf for entry in await two.entries(0, 100)]
        assert (await one.head()).root == tree(leaves)
        assert len(leaves) == 20


async def test_salts_differ(opened: Open):
    async with opened() as store:
        await store.record(*(event() for _ in range(10)))
        assert len({entry.salt for entry in await store.entries(0, 10)}) == 10
        assert all(len(entry.salt) == 32 for entry in await store.entries(0, 10))


async def test_leaves_of_the_super_user_are_kept_with_their_events(opened: Open):
    first = SuperUser("leave1", "alice", "an audit", NOW, 3600.0)
    second = replace(first, id="leave2", asked_at=NOW + 1)
    async with opened() as store:
        await store.change(Change((event(Operation.SUPER_USER),), super_users=(first, second)))
        agreed = replace(first, approved_by="bob", begins=NOW + 2, ends=NOW + 3602)
        await store.change(Change((event(Operation.SUPER_USER),), super_users=(agreed,)))
    async with opened() as store:
        assert await store.super_users() == (second, agreed)
        assert (await store.head()).size == 2


async def test_a_partners_checkpoint_follows_the_one_before_or_not_at_all(opened: Open):
    one, two = (1, b"1" * 32), (2, b"2" * 32)
    async with opened() as store:
        assert await store.put_witnessed("a/log", None, one)
        assert not await store.put_witnessed("a/log", None, two)
        assert await store.put_witnessed("b/log", None, two)
    async with opened() as store:
        assert await store.witnessed() == {"a/log": one, "b/log": two}
        assert await store.put_witnessed("a/log", one, two)
