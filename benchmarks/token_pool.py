"""Opening with a root key in SoftHSM: two token processes of the pool against two bare loops of the same library.

    python benchmarks/token_pool.py [--seconds 0.5] [--turns 15] [--bits 2048]

Both take short turns in one run, so that the load of the machine is the same for both. Target: >= 0.7 of bare loops.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import uvloop
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mta.adapters.root_tokens import RootTokens, TokenMaker
from mta.adapters.token_pool.member import MemberSettings
from mta.adapters.token_pool.pool import PoolSettings
from mta.rfc.tdf.share import OAEP
from tests.support.softhsm import LABEL, PIN, SoftHsm, soft_hsm

PROCESSES, TARGET = 2, 0.7
AT_ONCE = 12  # requests under way

BARE = """
import sys, time, pkcs11
from pkcs11 import MGF, Mechanism, ObjectClass
module, token, pin, wrapped, seconds = sys.argv[1:]
session = pkcs11.lib(module).get_token(token_label=token).open(user_pin=pin)
key = session.get_key(object_class=ObjectClass.PRIVATE_KEY, label="root")
given, words = bytes.fromhex(wrapped), (Mechanism.SHA_1, MGF.SHA1, None)
key.decrypt(given, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=words)
print("ready", flush=True)
while sys.stdin.readline():
    count, begin = 0, time.monotonic()
    while time.monotonic() < begin + float(seconds):
        key.decrypt(given, mechanism=Mechanism.RSA_PKCS_OAEP, mechanism_param=words)
        count += 1
    print(count / (time.monotonic() - begin), flush=True)
"""


class Bare:
    """Two processes that do nothing else."""

    def __init__(self, hsm: SoftHsm, wrapped: bytes, seconds: float) -> None:
        words = [sys.executable, "-c", BARE, hsm.module, LABEL, PIN, wrapped.hex(), str(seconds)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._loops = []
        for _ in range(PROCESSES):  # one after the other: SoftHSM sees no token while another one logs in
            self._loops.append(subprocess.Popen(words, **pipes))  # type: ignore[call-overload]
            assert self._loops[-1].stdout.readline() == "ready\n"

    def turn(self) -> float:
        """Openings a second."""
        for loop in self._loops:
            loop.stdin.write("go\n")
            loop.stdin.flush()
        return sum(float(loop.stdout.readline()) for loop in self._loops)

    def close(self) -> None:
        for loop in self._loops:
            loop.communicate()


async def pooled(tokens: RootTokens, uri: str, public: bytes, seconds: float) -> float:
    """Openings a second through the pool."""
    loaded = load_der_public_key(public)
    assert isinstance(loaded, rsa.RSAPublicKey)
    wrapped, count = loaded.encrypt(os.urandom(32), OAEP), 0
    begin = time.monotonic()

    async def ask() -> None:
        nonlocal count
        while time.monotonic() < begin + seconds:
            assert await tokens.unwrap(uri, public, wrapped, f"c{count}")
            count += 1

    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    return count / (time.monotonic() - begin)


async def measure(hsm: SoftHsm, seconds: float, turns: int, bits: int) -> dict[str, float]:
    """The medians of all turns: of both rates, and of the ratio of two turns that follow each other."""
    uri = hsm.uri("root")
    async with TokenMaker(hsm.module, PIN) as maker:
        public = await maker.generate(uri, bits)
    loaded = load_der_public_key(public)
    assert isinstance(loaded, rsa.RSAPublicKey)
    tokens = RootTokens(PoolSettings(MemberSettings(hsm.module, PIN), processes=PROCESSES))
    await pooled(tokens, uri, public, 0.2)
    floor, floors, ours = Bare(hsm, loaded.encrypt(os.urandom(32), OAEP), seconds), [], []
    for _ in range(turns):
        floors.append(await asyncio.to_thread(floor.turn))
        ours.append(await pooled(tokens, uri, public, seconds))
    await tokens.close()
    floor.close()
    ratio = statistics.median(mine / bare for mine, bare in zip(ours, floors, strict=True))
    return {"bare": statistics.median(floors), "pool": statistics.median(ours), "ratio": ratio}


def main() -> int:
    """0 if the target is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one turn")
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--bits", type=int, default=2048)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        hsm = soft_hsm(Path(folder) / "hsm")
        os.environ.update(hsm.environment)
        found = uvloop.run(measure(hsm, given.seconds, given.turns, given.bits))
    rates = {name: round(found[name]) for name in ("bare", "pool")}
    ratio = round(found["ratio"], 2)
    print(json.dumps({"benchmark": "token_pool", "bits": given.bits, **rates, "ratio": ratio, "target": TARGET}))
    return 0 if ratio >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
