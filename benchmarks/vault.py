"""The vault: sealing, opening and logging against what the machine can do at all.

Prints one JSON line for each case; `ratio` is ours divided by the floor's, more is better. Each case runs in turns with
its floor, so that a busy machine hits both alike. Cases: `seal-50k` against random octets, AES-256-GCM, SHA-256 and one
durable commit shared by as many; `seal-100m` against bare AES-256-GCM in segments, with the memory that it adds; `open`
(the key that a rewrap wraps anew) against the raw rate of the RSA-2048 private key; `items` the cost of opening one of
1,000 against one of many, `floor` divided by ours; `log` entries a second, and `receipt` milliseconds.

    python benchmarks/vault.py [--seconds 2] [--items 100000] [--case seal-50k ...]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import io
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import apsw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mta.model.protected import VaultEvent
from mta.observe.vault_events import Operation, Result
from mta.rfc.tdf.share import OAEP
from mta.vault.log import checkpoint, receipt
from mta.vault.seal import SealRequest, seal_item
from tests.support.vault import ALICE, BOB, LABEL, World, actor, root_key_pair, vault_world

Line = dict[str, object]
SMALL, LARGE, SEGMENT, TOGETHER = 50 * 1024, 100 << 20, 2 << 20, 32


async def rate(seconds: float, work: Callable[[], Awaitable[int]]) -> float:
    """How many a second."""
    done, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        done += await work()
    return done / (time.perf_counter() - begin)


async def in_turns(
    seconds: float, ours: Callable[[], Awaitable[int]], floor: Callable[[], Awaitable[int]]
) -> tuple[float, float]:
    """The medians of five turns each."""
    pairs = [(await rate(seconds / 5, ours), await rate(seconds / 5, floor)) for _ in range(5)]
    return statistics.median(one for one, _ in pairs), statistics.median(one for _, one in pairs)


def line(case: str, ours: float, floor: float, unit: str, **more: object) -> Line:
    return {
        "case": case,
        "ours": round(ours, 2),
        "floor": round(floor, 2),
        "ratio": round(ours / floor, 2),
        "unit": unit,
        **more,
    }


def request(size: int) -> SealRequest:
    return SealRequest(LABEL, ALICE, (BOB,), actor(), size=size)


async def seal_small(world: World, seconds: float, _: int) -> Line:
    content = os.urandom(SMALL)
    db = apsw.Connection(str(world.folder / "floor.db"))
    for pragma in ("journal_mode = WAL", "synchronous = FULL"):
        db.execute(f"PRAGMA {pragma}")
    db.execute("CREATE TABLE item (id BLOB, told BLOB)")

    async def ours() -> int:
        await asyncio.gather(
            *(seal_item(world.vault, request(SMALL), io.BytesIO(content), io.BytesIO()) for _ in range(TOGETHER))
        )
        return TOGETHER

    async def floor() -> int:
        with db:
            for _ in range(TOGETHER):
                key, nonce = os.urandom(32), os.urandom(12)
                sealed = AESGCM(key).encrypt(nonce, content, None)
                db.execute("INSERT INTO item VALUES (?, ?)", (hashlib.sha256(sealed).digest(), bytes(500)))
        return TOGETHER

    found = await in_turns(seconds, ours, floor)
    db.close()
    return line("seal-50k", *found, "items/s", together=TOGETHER)


class Sink(io.RawIOBase):
    """Takes everything and keeps nothing."""

    def __init__(self) -> None:
        self.place = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        size = memoryview(data).nbytes  # type: ignore[arg-type]
        self.place += size
        return size

    def tell(self) -> int:
        return self.place


class Source(io.RawIOBase):
    """The same octets again and again, so many in all."""

    def __init__(self, size: int) -> None:
        self.left, self.piece = size, bytes(SEGMENT)

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        size = min(self.left, len(room), SEGMENT)
        self.left -= size
        room[:size] = self.piece[:size]
        return size


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def seal_large(world: World, seconds: float, _: int) -> Line:
    def stream(kind: object) -> BinaryIO:
        return kind  # type: ignore[return-value]

    async def ours() -> int:
        await seal_item(world.vault, request(LARGE), stream(Source(LARGE)), stream(Sink()))
        return LARGE >> 20

    async def floor() -> int:
        cipher, piece = AESGCM(os.urandom(32)), bytes(SEGMENT)
        for _ in range(LARGE // SEGMENT):
            cipher.encrypt(os.urandom(12), piece, None)
        return LARGE >> 20

    await floor()
    before = _peak()
    await ours()
    grown = _peak() - before
    return line("seal-100m", *await in_turns(seconds, ours, floor), "MB/s", memory_mb=round(grown / 1024, 1))


async def open_one(world: World, seconds: float, _: int) -> Line:
    item = await world.seal(b"x")
    private = load_pem_private_key(root_key_pair(1)[0], None)
    wrapped = private.public_key().encrypt(os.urandom(32), OAEP)  # type: ignore[union-attr]
    took = list[float]()

    async def timed() -> None:
        begin = time.perf_counter()
        await world.key(item, BOB)
        took.append(time.perf_counter() - begin)

    async def ours() -> int:
        await asyncio.gather(*(timed() for _ in range(TOGETHER)))
        return TOGETHER

    async def floor() -> int:
        for _ in range(TOGETHER):
            private.decrypt(wrapped, OAEP)  # type: ignore[union-attr]
        return TOGETHER

    found = await in_turns(seconds, ours, floor)
    took.clear()
    for _ in range(200):
        await timed()
    ordered = sorted(took)
    times = {"median_ms": round(ordered[100] * 1000, 2), "p99_ms": round(ordered[197] * 1000, 2)}
    return line("open", *found, "opens/s", together=TOGETHER, **times)


async def many_items(world: World, seconds: float, items: int) -> Line:
    async def fill(upto: int) -> None:
        while (count := len(made)) < upto:
            more = [_copy(world, first, count + n) for n in range(min(1000, upto - count))]
            made.extend(await asyncio.gather(*more))

    async def cost() -> float:
        return 1 / await rate(seconds, one)

    async def one() -> int:
        await world.key(first, BOB)
        return 1

    first = await world.seal(b"x")
    made = list[None]()
    await fill(1000)
    few = await cost()
    await fill(items)
    many = await cost()
    return {
        "case": "items",
        "ours": round(many * 1000, 3),
        "floor": round(few * 1000, 3),
        "ratio": round(few / many, 2),
        "unit": "ms/open",
        "items": items,
    }


async def _copy(world: World, like: object, number: int) -> None:
    """Another item with its grants and share, without the work of sealing it."""
    assert hasattr(like, "id")
    id = f"{number:026d}"
    item = replace(like, id=id, wrapped_digest=hashlib.sha256(id.encode()).digest())  # type: ignore[type-var]
    grants = tuple(
        replace(one, id=f"{id}-{n}", item=id) for n, one in enumerate(await world.vault.store.grants(like.id))
    )
    event = VaultEvent(item.created, Operation.PROTECT, actor(), Result.DONE, item=id)
    await world.vault.store.seal(item, world.vault.shares.cover(bytes(32)), grants, event)


async def log_rate(world: World, seconds: float, _: int) -> Line:
    event = VaultEvent(1.0, Operation.OPEN, actor(), Result.REFUSED, "no-grant: somebody has no grant", item="x" * 26)

    async def ours() -> int:
        await asyncio.gather(*(world.vault.store.record(event) for _ in range(256)))
        return 256

    return {"case": "log", "ours": round(await rate(seconds, ours)), "unit": "entries/s", "together": 256}


async def receipts(world: World, seconds: float, _: int) -> Line:
    await log_rate(world, seconds, 0)
    await checkpoint(world.vault)
    size = (await world.vault.store.head()).size
    took = []
    for n in range(200):
        begin = time.perf_counter()
        await receipt(world.vault, n * 7919 % size)
        took.append(time.perf_counter() - begin)
    return {"case": "receipt", "ours": round(statistics.median(took) * 1000, 2), "unit": "ms", "entries": size}


CASES = {
    "seal-50k": seal_small,
    "seal-100m": seal_large,
    "open": open_one,
    "items": many_items,
    "log": log_rate,
    "receipt": receipts,
}


async def run(case: str, seconds: float, items: int) -> Line:
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(KeyboardInterrupt):
        async with vault_world(Path(folder)) as world:
            return await CASES[case](world, seconds, items)
    return {"case": case}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--case", action="append", choices=CASES)
    options = parser.parse_args()
    for case in options.case or CASES:
        print(json.dumps(asyncio.run(run(case, options.seconds, options.items))), flush=True)


if __name__ == "__main__":
    main()
