"""Hosts that know only what is weak get no handshake; one with a small key does, and policy judges it."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mta.adapters.tls.context import client_context
from mta.errors import TlsFailed
from mta.model.tls import TlsFacts
from tests.support.patience import PATIENCE
from tests.support.pki import authority, needs_openssl
from tests.support.running_mta import free_port
from tests.support.tls import connect

pytestmark = needs_openssl
ROOT = authority("Weak Root")
RSA = ROOT.issue(dns_names=["a.example"], key="rsa-2048")
SMALL = ROOT.issue(dns_names=["a.example"], key="rsa-1024")
ANY = ":@SECLEVEL=0"


@contextlib.asynccontextmanager
async def host(folder: Path, issued: object, *how: str) -> AsyncIterator[int]:
    """OpenSSL's own server, as weak as it can be made."""
    chain, key = issued.write(folder, "host")  # type: ignore[attr-defined]
    port = free_port()
    words = ["s_server", "-quiet", "-accept", f"127.0.0.1:{port}", "-cert", str(chain), "-key", str(key), *how]
    process = subprocess.Popen(["openssl", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.terminate()
        process.wait()


def shaken(folder: Path, issued: object, *how: str) -> TlsFacts | TlsFailed:
    async def story() -> TlsFacts | TlsFailed:
        async with host(folder, issued, *how) as port, asyncio.timeout(PATIENCE):
            while True:
                try:
                    app = await connect(port, client_context())
                except ConnectionRefusedError:
                    await asyncio.sleep(0.02)  # it is being started
                    continue
                except TlsFailed as failed:
                    return failed
                facts = app.facts
                app.transport.abort()
                return facts

    return asyncio.run(story())


@pytest.mark.parametrize(
    "how",
    [
        pytest.param(("-tls1_1", "-cipher", "ALL" + ANY), id="TLS 1.1"),
        pytest.param(("-tls1_2", "-cipher", "ECDHE-RSA-NULL-SHA" + ANY), id="no encryption"),
        pytest.param(("-tls1_2", "-cipher", "ADH-AES256-SHA256" + ANY), id="anonymous"),
        pytest.param(("-tls1_2", "-cipher", "DHE-RSA-AES256-GCM-SHA384" + ANY), id="finite field"),
        pytest.param(
            ("-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384" + ANY, "-sigalgs", "RSA+SHA1"), id="SHA-1 signature"
        ),
    ],
)
def test_what_is_weak_comes_to_no_handshake(tmp_path: Path, how: tuple[str, ...]) -> None:
    assert isinstance(shaken(tmp_path, RSA, *how), TlsFailed)


@pytest.mark.parametrize(
    ("issued", "how", "cipher"),
    [
        pytest.param(RSA, ("-tls1_2", "-cipher", "AES256-SHA"), "AES256-SHA", id="an old partner"),
        pytest.param(SMALL, ("-cipher", "ALL" + ANY), "TLS_AES_256_GCM_SHA384", id="a small key"),
    ],
)
def test_what_a_contract_may_judge_is_seen(tmp_path: Path, issued: object, how: tuple[str, ...], cipher: str) -> None:
    facts = shaken(tmp_path, issued, *how)
    assert isinstance(facts, TlsFacts)
    assert facts.cipher == cipher
    assert facts.leaf is not None
    assert facts.leaf.key == ("rsa-1024" if issued is SMALL else "rsa-2048")
