"""The certificate directory with 100,000 certificates in a folder: first index, start, look-ups, a change.

    python -m benchmarks.directory [--certificates 100000] [--folder DIR]

One JSON line. Seconds for the first index and for a start with it; milliseconds (median, 99th percentile) for a look-up
of the folder alone, and for one of the whole directory, fitness and choice included. `floor` is what reading the same
files from the disk takes, without a directory. With `--folder` the files are kept there and made only once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mta.adapters.directory.folder import FolderSettings, FolderSource
from mta.app.outside import SystemClock
from mta.model.directory import DirectoryStatus, SourceStatus
from mta.observe.log import EventLog
from mta.pipeline.directory import Directory, NoJudge, Patience, Surroundings
from mta.policy.directory import Demands
from mta.rfc.smtp.address import parse_mailbox

_LOOK_UPS = 2000
_EACH_FOLDER = 10_000


def address(number: int) -> str:
    """The address of person number so and so."""
    return f"person{number:06d}@partner{number % 100}.example"


def make(folder: Path, wanted: int) -> None:
    """As many files as wanted, ten thousand in a folder; those that are there are kept."""
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Benchmark CA")])
    now = datetime.now(UTC)
    purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    for number in range(wanted):
        path = folder / str(number // _EACH_FOLDER) / f"{number}.crt"
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Person {number}")]))
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(number + 1)
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=300))
            .add_extension(x509.SubjectAlternativeName([x509.RFC822Name(address(number))]), critical=False)
            .add_extension(purposes, critical=False)
        )
        path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))


def read_all(folder: Path) -> float:
    """Seconds to list and read every file, and nothing else."""
    before = time.perf_counter()
    for path in folder.rglob("*.crt"):
        path.read_bytes()
    return time.perf_counter() - before


async def timed(what: Callable[[int], Awaitable[None]], numbers: list[int]) -> dict[str, float]:
    """Milliseconds of each call: median and 99th percentile."""
    spent = []
    for number in numbers:
        before = time.perf_counter()
        await what(number)
        spent.append((time.perf_counter() - before) * 1000)
    spent.sort()
    return {"median": round(statistics.median(spent), 3), "p99": round(spent[int(len(spent) * 0.99)], 3)}


async def measure(folder: Path, index: Path, wanted: int) -> dict[str, object]:
    """All numbers."""
    with open(os.devnull, "wb") as nowhere:
        log = EventLog(nowhere.fileno(), "json")
        settings = FolderSettings(folder, index)

        async def opened() -> tuple[FolderSource, float]:
            source, before = FolderSource(settings, log), time.perf_counter()
            answer = await source.find(parse_mailbox(address(wanted - 1)))
            assert answer.status is SourceStatus.FOUND, answer
            return source, round(time.perf_counter() - before, 3)

        floor = round(read_all(folder), 3)
        source, first = await opened()
        await source.close()
        source, start = await opened()
        chance = random.Random(1)
        numbers = [chance.randrange(wanted) for _ in range(_LOOK_UPS)]

        async def of_folder(number: int) -> None:
            assert (await source.find(parse_mailbox(address(number)))).candidates

        async def missing(number: int) -> None:
            assert not (await source.find(parse_mailbox(f"nobody{number}@partner1.example"))).candidates

        directory = Directory([source], Demands(), Patience(), Surroundings(NoJudge(), SystemClock(), log))

        async def of_directory(number: int) -> None:
            answer = await directory.lookup(parse_mailbox(address(number)))
            assert answer.status is DirectoryStatus.FOUND, answer

        found = {
            "certificates": wanted,
            "floor_s": floor,
            "first_index_s": first,
            "start_s": start,
            "lookup_ms": await timed(of_folder, numbers),
            "missing_ms": await timed(missing, numbers),
            "directory_ms": await timed(of_directory, numbers),
            "index_mib": round(index.stat().st_size / 2**20, 1),
        }
        fresh = folder / "0" / "fresh.crt"
        fresh.write_bytes((folder / "0" / "1.crt").read_bytes())
        before = time.perf_counter()
        seen = (await source.find(parse_mailbox(address(1)))).candidates
        found["change_seen"] = {"at_once": len(seen) == 2, "seconds": round(time.perf_counter() - before, 3)}
        fresh.unlink()
        await source.close()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--certificates", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary) / "certificates"
        make(folder, options.certificates)
        print(json.dumps(asyncio.run(measure(folder, Path(temporary) / "index.sqlite", options.certificates))))


if __name__ == "__main__":
    main()
