"""The vault: sealing, opening and logging against what the machine can do at all.

Prints one JSON line for each case; `ratio` is ours divided by the floor's, more is better. Each case runs in turns with
its floor, so that a busy machine hits both alike. Cases: `seal-50k` against random octets, AES-256-GCM, SHA-256 and one
durable commit shared by as many; `seal-100m` against bare AES-256-GCM in segments, with the memory that it adds;
`seal-4g` that memory for 4 GiB; `open` (the key that a rewrap wraps anew) against the raw rate of the RSA-2048 private
key, with median and 99th percentile at half that load; `items` the cost of opening one of 1,000 against one of many,
`floor` divided by ours; `log` entries a second, and `receipt` milliseconds. `cpu_ratio` is the same by CPU time of the
process, which a machine that others use says more with.

    python benchmarks/vault.py [--seconds 2] [--items 1000000] [--case seal-50k ...]
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
from pathlib import Path
from typing import Any, BinaryIO

import apsw
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_pem_private_key

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mta.model.protected import VaultEvent
from mta.model.rights import Right
from mta.observe.vault_events import Operation, Result
from mta.rfc.tdf.open import read_protected
from mta.rfc.tdf.share import OAEP
from mta.vault.log import checkpoint, receipt
from mta.vault.open import OpenRequest, open_key
from mta.vault.seal import SealRequest, seal_item
from tests.support.vault import ALICE, BOB, LABEL, World, actor, root_key_pair, vault_world

Line = dict[str, object]
SMALL, LARGE, SEGMENT, TOGETHER, HALF_LOAD = 50 * 1024, 100 << 20, 2 << 20, 32, 1000


async def rate(seconds: float, work: Callable[[], Awaitable[int]]) -> float:
    """How many a second."""
    done, begin = 0, time.perf_counter()
    while time.perf_counter() - begin < seconds:
        done += await work()
    return done / (time.perf_counter() - begin)


async def cpu_rate(seconds: float, work: Callable[[], Awaitable[int]]) -> tuple[float, float]:
    """How many a second, and a second of CPU time."""
    done, begin, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - begin < seconds:
        done += await work()
    return done / (time.perf_counter() - begin), done / (time.process_time() - cpu)


async def in_turns(
    seconds: float, ours: Callable[[], Awaitable[int]], floor: Callable[[], Awaitable[int]]
) -> tuple[float, float, float]:
    """The medians of five turns each, and of their ratios by CPU time."""
    pairs = [(await cpu_rate(seconds / 5, ours), await cpu_rate(seconds / 5, floor)) for _ in range(5)]
    by_cpu = statistics.median(mine[1] / other[1] for mine, other in pairs)
    return statistics.median(mine[0] for mine, _ in pairs), statistics.median(other[0] for _, other in pairs), by_cpu


def line(case: str, found: tuple[float, float, float], unit: str, **more: object) -> Line:
    ours, floor, by_cpu = found
    return {
        "case": case,
        "ours": round(ours, 2),
        "floor": round(floor, 2),
        "ratio": round(ours / floor, 2),
        "cpu_ratio": round(by_cpu, 2),
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
    return line("seal-50k", found, "items/s", together=TOGETHER)


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
    return line("seal-100m", await in_turns(seconds, ours, floor), "MB/s", memory_mb=round(grown / 1024, 1))


async def seal_huge(world: World, _: float, __: int) -> Line:
    """The memory alone."""
    await world.seal(b"x")
    before, size = _peak(), 4 << 30
    await seal_item(world.vault, request(size), Source(size), Sink())  # type: ignore[arg-type]
    return {"case": "seal-4g", "ours": round((_peak() - before) / 1024, 1), "unit": "MB above idle"}


async def open_one(world: World, seconds: float, _: int) -> Line:
    item = await world.seal(b"x")
    private = load_pem_private_key(root_key_pair(1)[0], None)
    wrapped = private.public_key().encrypt(os.urandom(32), OAEP)  # type: ignore[union-attr]
    manifest = read_protected(io.BytesIO(world.containers[item.id])).manifest
    asked = OpenRequest(manifest.keys[0], manifest.policy, BOB, Right.VIEW, Operation.OPEN, actor(BOB))
    took = list[float]()

    async def timed() -> None:
        begin = time.perf_counter()
        await open_key(world.vault, asked)
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
    pause, tasks = 2 / found[0], list[asyncio.Task[None]]()
    for _ in range(HALF_LOAD):
        tasks.append(asyncio.create_task(timed()))
        await asyncio.sleep(pause)
    await asyncio.gather(*tasks)
    ordered = sorted(took)
    median, late = ordered[HALF_LOAD // 2], ordered[HALF_LOAD * 99 // 100]
    times = {"median_ms": round(median * 1000, 2), "p99_ms": round(late * 1000, 2)}
    return line("open", found, "opens/s", together=TOGETHER, **times)


async def many_items(world: World, seconds: float, items: int) -> Line:
    async def cost() -> float:
        return 1 / (await cpu_rate(seconds, one))[1]

    async def one() -> int:
        await world.key(first, BOB)
        return 1

    first = await world.seal(b"x")
    _fill(world.folder, first.id, 1, 1000)
    few = await cost()
    _fill(world.folder, first.id, 1000, items)
    many = await cost()
    return {
        "case": "items",
        "ours": round(many * 1000, 3),
        "floor": round(few * 1000, 3),
        "ratio": round(few / many, 2),
        "unit": "ms of CPU/open",
        "items": items,
    }


def _fill(folder: Path, like: str, begin: int, end: int) -> None:
    """Copies of an item with its grants, share and entry in the log, without the work of sealing and hashing them."""
    for file, tables in (("vault.db", ("item", "item_grant", "event")), ("shares.db", ("share",))):
        db = apsw.Connection(str(folder / file))
        db.create_scalar_function("digest", lambda text: hashlib.sha256(str(text).encode()).digest(), 1)
        with db:
            for table in tables:
                for column, numbers in _copied(db, table, like).items():
                    db.execute(numbers, (begin, end, *column))
        db.close()


def _copied(db: apsw.Connection, table: str, like: str) -> dict[tuple[str, ...], str]:
    """The statements that copy a table's rows of the item `like` under other ids, by their values."""
    made = {"id": "printf('%s-%s', id, n)", "item": "printf('%026d', n)", "wrapped": "digest(n)", "number": "-n"}
    names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    if table == "item":
        made["id"] = made["item"]
    columns = ", ".join(made.get(name, name) for name in names)
    numbers = "WITH RECURSIVE numbers (n) AS (SELECT ? UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?) "
    where = {"item": "id = ?", "share": "1"}.get(table, "item = ?")
    source = f"(SELECT * FROM {table} WHERE {where}" + (" LIMIT 1)" if table in ("share", "event") else ")")
    sql = f"{numbers}INSERT INTO {table} SELECT {columns} FROM {source}, numbers"
    return {(like,) if "?" in where else (): sql}


async def log_rate(world: World, seconds: float, _: int) -> Line:
    event = VaultEvent(
        1_700_000_000.123, Operation.OPEN, actor(), Result.REFUSED, "no-grant: somebody has no grant", item="x" * 26
    )

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
    "seal-4g": seal_huge,
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
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--case", action="append", choices=CASES)
    options = parser.parse_args()
    for case in options.case or CASES:
        print(json.dumps(asyncio.run(run(case, options.seconds, options.items))), flush=True)


if __name__ == "__main__":
    main()
