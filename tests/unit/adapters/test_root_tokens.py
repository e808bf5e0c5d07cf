"""Root keys in a real token: made, brought, taken over, removed; the token taken away, stopped, with a wrong PIN."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_der_public_key

from mta.adapters.root_keys import PlacedRootKeys, spki
from mta.adapters.root_tokens import RootTokens, TokenMaker
from mta.adapters.token_pool.member import MemberSettings
from mta.adapters.token_pool.pool import PoolSettings
from mta.errors import KeyAway, UsageError
from mta.model.protected import KeyState, RootKey
from mta.rfc.tdf.share import OAEP
from tests.support.patience import PATIENCE
from tests.support.programs import needs
from tests.support.softhsm import PIN, SoftHsm, soft_hsm

pytestmark = [pytest.mark.peer, needs("softhsm2-util")]


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    made = soft_hsm(tmp_path / "hsm")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@lru_cache(4)
def outside(bits: int = 2048, exponent: int = 65_537) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(exponent, bits)  # type: ignore[arg-type]


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def root_key(uri: str, public: bytes) -> RootKey:
    return RootKey("r1", uri, public, 2048, KeyState.ACTIVE, 0, 0)


def sealed(public: bytes, secret: bytes = b"share") -> bytes:
    loaded = load_der_public_key(public)
    assert isinstance(loaded, rsa.RSAPublicKey)
    return loaded.encrypt(secret, OAEP)


@contextlib.asynccontextmanager
async def keys(hsm: SoftHsm, pin: str = PIN, **more: Any) -> AsyncIterator[PlacedRootKeys]:
    settings: dict[str, Any] = {"processes": 2, "pause": 0.02, "longest": 0.2, **more}
    placed = PlacedRootKeys({}, RootTokens(PoolSettings(MemberSettings(hsm.module, pin), **settings)))
    try:
        yield placed
    finally:
        await placed.close()


async def when_back(ask: Callable[[], Awaitable[bytes | None]]) -> bytes | None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return await ask()
        except KeyAway:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)


async def made(hsm: SoftHsm, label: str = "root", bits: int = 2048) -> bytes:
    async with TokenMaker(hsm.module, PIN) as maker:
        return await maker.generate(hsm.uri(label), bits)


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
async def test_a_key_made_in_the_token_opens_and_stays_there(hsm: SoftHsm, bits: int) -> None:
    public = await made(hsm, bits=bits)
    loaded = load_der_public_key(public)
    assert isinstance(loaded, rsa.RSAPublicKey)
    assert (loaded.key_size, loaded.public_numbers().e) == (bits, 65_537)
    async with keys(hsm) as placed, TokenMaker(hsm.module, PIN, writes=False) as maker:
        assert await placed.unwrap(root_key(hsm.uri("root"), public), sealed(public), "c") == b"share"
        assert await maker.take(hsm.uri("root")) == public
        with pytest.raises(UsageError, match="has a key called root already; it was left as it is"):
            await maker.generate(hsm.uri("root"), 2048)


async def test_a_key_from_outside_is_brought_in_and_stays_there(hsm: SoftHsm) -> None:
    async with TokenMaker(hsm.module, PIN) as maker, keys(hsm) as placed:
        uri = hsm.uri("byok") + ";id=%07"
        public = await maker.bring(uri, outside())
        assert public == spki(outside().public_key())
        assert await placed.unwrap(root_key(uri, public), sealed(public), "c") == b"share"
        assert (await maker.look(uri)).fault == ""
        with pytest.raises(UsageError, match="left as it is"):
            await maker.bring(hsm.uri("byok"), outside(3072))


async def test_what_was_not_sealed_to_it_opens_nothing_and_harms_nothing(hsm: SoftHsm) -> None:
    public = await made(hsm)
    key = root_key(hsm.uri("root"), public)
    async with keys(hsm, processes=1) as placed:
        for wrong in (b"\1" * 256, b"", b"\0" * 257, sealed(spki(outside().public_key()))):
            assert await placed.unwrap(key, wrong, "c") is None
            assert await placed.unwrap(key, sealed(public), "c") == b"share"


async def test_a_key_of_another_fingerprint_opens_nothing(hsm: SoftHsm) -> None:
    public, other = await made(hsm), spki(outside().public_key())
    async with keys(hsm) as placed:
        with pytest.raises(KeyAway, match="is another than the one that is meant"):
            await placed.unwrap(root_key(hsm.uri("root"), other), sealed(public), "c")
        with pytest.raises(KeyAway, match="no one key called nobody"):
            await placed.unwrap(root_key(hsm.uri("nobody"), public), sealed(public), "c")
        with pytest.raises(KeyAway, match="expected pkcs11:token="):
            await placed.unwrap(root_key("pkcs11:object=root", public), sealed(public), "c")


async def test_a_key_made_after_the_login_is_found(hsm: SoftHsm) -> None:
    first = await made(hsm)
    async with keys(hsm, processes=1) as placed:
        assert await placed.unwrap(root_key(hsm.uri("root"), first), sealed(first), "c") == b"share"
        second = await made(hsm, "later")
        assert await placed.unwrap(root_key(hsm.uri("later"), second), sealed(second), "c") == b"share"


EXTRACTABLE = """
import sys, pkcs11
from pkcs11 import Attribute, KeyType, MechanismFlag
session = pkcs11.lib(sys.argv[1]).get_token(token_label="mta-test").open(user_pin="1234", rw=True)
uses = MechanismFlag[sys.argv[2]]
leaves = {Attribute.EXTRACTABLE: sys.argv[3] == "yes"}
words = {"label": "foreign", "id": b"1", "store": True, "capabilities": uses, "private_template": leaves}
session.generate_keypair(KeyType.RSA, 2048, **words)
"""


@pytest.mark.parametrize(
    ("use", "leaves", "words"), [("DECRYPT", "yes", "can be taken out of it"), ("SIGN", "no", "may not decrypt")]
)
async def test_a_key_that_is_no_root_key_is_not_taken_over(hsm: SoftHsm, use: str, leaves: str, words: str) -> None:
    subprocess.run([sys.executable, "-c", EXTRACTABLE, hsm.module, use, leaves], check=True, timeout=PATIENCE)
    async with TokenMaker(hsm.module, PIN) as maker:
        with pytest.raises(UsageError, match=words):
            await maker.take(hsm.uri("foreign"))


async def test_only_the_key_that_is_meant_is_removed(hsm: SoftHsm) -> None:
    public = await made(hsm)
    kept = await made(hsm, "other")
    async with TokenMaker(hsm.module, PIN) as maker:
        with pytest.raises(KeyAway, match="it was left as it is"):
            await maker.remove(hsm.uri("other"), public)
        assert await maker.remove(hsm.uri("root"), public) is True
        assert await maker.remove(hsm.uri("root"), public) is False
        assert await maker.take(hsm.uri("other")) == kept
        assert await maker.generate(hsm.uri("root"), 2048) != public  # its public object is gone, too


async def test_a_token_taken_away_in_mid_work_is_used_again_when_it_is_back(hsm: SoftHsm) -> None:
    public = await made(hsm)
    key, tokens = root_key(hsm.uri("root"), public), hsm.folder / "tokens"
    async with keys(hsm) as placed:
        work = [placed.unwrap(key, sealed(public), "c") for _ in range(4)]
        assert await asyncio.gather(*work) == [b"share"] * 4
        tokens.rename(hsm.folder / "drawer")
        for _ in range(5):
            with pytest.raises(KeyAway):
                await placed.unwrap(key, sealed(public), "c")
        (hsm.folder / "drawer").rename(tokens)
        assert await when_back(lambda: placed.unwrap(key, sealed(public), "c")) == b"share"


async def test_a_wrong_pin_is_told_and_not_tried_again(hsm: SoftHsm, capfd: pytest.CaptureFixture[str]) -> None:
    public = await made(hsm)
    key, member = root_key(hsm.uri("root"), public), MemberSettings(hsm.module, "9999", log="json")
    tokens = RootTokens(PoolSettings(member, processes=2))
    for _ in range(4):
        with pytest.raises(KeyAway, match="refuses the PIN of pin_file"):
            await tokens.unwrap(key.place, public, sealed(public), "c")
    await tokens.close()
    assert capfd.readouterr().err.count('"work":"login"') == 1


async def test_a_use_stands_in_the_log_of_the_token_process(hsm: SoftHsm, capfd: pytest.CaptureFixture[str]) -> None:
    public = await made(hsm)
    tokens = RootTokens(PoolSettings(MemberSettings(hsm.module, PIN, log="json"), processes=1))
    await tokens.unwrap(hsm.uri("root"), public, sealed(public), "call-of-this-use")
    await tokens.close()
    [line] = [line for line in capfd.readouterr().err.splitlines() if '"work":"decrypt"' in line]
    assert '"call":"call-of-this-use"' in line
    assert '"result":"done"' in line
    assert PIN not in line


async def test_a_stopped_process_is_replaced(hsm: SoftHsm) -> None:
    public = await made(hsm)
    key = root_key(hsm.uri("root"), public)
    async with keys(hsm, processes=1, patience=2.0) as placed:
        assert await placed.unwrap(key, sealed(public), "c") == b"share"
        [member] = placed._tokens._pool._members  # type: ignore[union-attr]
        os.kill(member.process.pid, signal.SIGSTOP)
        with pytest.raises(KeyAway, match="does not answer within 2 s"):
            await placed.unwrap(key, sealed(public), "c")
        assert await when_back(lambda: placed.unwrap(key, sealed(public), "c")) == b"share"
        assert member.process.poll() == -signal.SIGKILL


async def test_two_relays_use_one_token_side_by_side(hsm: SoftHsm) -> None:
    public = await made(hsm)
    key = root_key(hsm.uri("root"), public)
    async with keys(hsm) as ours, keys(hsm) as theirs:
        work = [placed.unwrap(key, sealed(public, bytes([n])), "c") for n in range(10) for placed in (ours, theirs)]
        assert await asyncio.gather(*work) == [bytes([n]) for n in range(10) for _ in range(2)]


PARENT = """
import asyncio, os, signal, sys
from mta.adapters.token_pool.member import MemberSettings
from mta.adapters.token_pool.names import parse_uri
from mta.adapters.token_pool.pool import PoolSettings, TokenPool, Wish
async def main():
    pool = TokenPool(PoolSettings(MemberSettings(sys.argv[1], "1234"), processes=1))
    await pool.do(Wish("public", parse_uri(sys.argv[2])))
    [member] = pool._members
    if sys.argv[3] == "stopped":
        os.kill(member.process.pid, signal.SIGSTOP)
    print(member.process.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


@pytest.mark.parametrize("state", ["idle", "stopped"])
async def test_a_token_process_ends_with_its_parent(hsm: SoftHsm, state: str) -> None:
    await made(hsm)
    words = [sys.executable, "-c", PARENT, hsm.module, hsm.uri("root"), state]
    done = subprocess.run(words, capture_output=True, check=False, timeout=PATIENCE)
    pid, end = int(done.stdout), time.monotonic() + PATIENCE
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1][:3]:
        assert time.monotonic() < end
        await asyncio.sleep(0.02)
