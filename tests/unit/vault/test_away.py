"""A reader's program and key servers that are not what they should be: no token leaves, nothing but an error comes."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mta.errors import KeyAway, MtaError, NotOpened, TdfTampered, TdfUnsupported
from mta.rfc.kas.session import Session
from mta.rfc.tdf.manifest import Manifest
from mta.rfc.tdf.open import read_protected
from mta.vault.away import Away, Invitation
from tests.support.vault import Clock, vault_world

BASE = "https://portal.contoso.example"
ISSUER = {
    "device_authorization_endpoint": f"{BASE}/device/authorize",
    "token_endpoint": f"{BASE}/token",
}
DEVICE = {
    "device_code": "d",
    "user_code": "BCDF-GHJK",
    "verification_uri": f"{BASE}/device",
    "expires_in": 600,
    "interval": 0.001,
}
CLAIMS = base64.urlsafe_b64encode(b'{"email":"bob@fabrikam.example"}').decode().rstrip("=")
TOKEN = {"access_token": f"e30.{CLAIMS}.x"}


@dataclass
class Server:
    """Answers what it is told to; `tokens` one after the other."""

    issuer: dict[str, Any] = field(default_factory=lambda: dict(ISSUER))
    device: dict[str, Any] = field(default_factory=lambda: dict(DEVICE))
    tokens: list[dict[str, Any]] = field(default_factory=lambda: [TOKEN])
    rewrap: Callable[[str], tuple[int, dict[str, Any]]] = lambda key: granted(key)
    asked: list[str] = field(default_factory=list)

    async def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, bytes]:
        self.asked.append(url)
        assert url.startswith(BASE)
        if url.endswith("openid-configuration"):
            return 200, json.dumps(self.issuer).encode()
        assert headers["DPoP"]
        if url.endswith("/authorize"):
            return 200, json.dumps(self.device).encode()
        if url.endswith("/token"):
            return 400, json.dumps(self.tokens.pop(0)).encode()
        assert headers["Authorization"].startswith("DPoP ")
        claims = json.loads(_decoded(json.loads(body)["signedRequestToken"].split(".")[1]))
        status, told = self.rewrap(json.loads(claims["requestBody"])["clientPublicKey"])
        return status, json.dumps(told).encode()


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def granted(client: str, key: bytes = b"k" * 32) -> tuple[int, dict[str, Any]]:
    session = Session(client)
    wrapped = base64.b64encode(session.wrap(key)).decode()
    return 200, result({"status": "permit", "kasWrappedKey": wrapped}, session.public_key)


def result(one: dict[str, Any], session: str = "") -> dict[str, Any]:
    return {"sessionPublicKey": session, "responses": [{"policyId": "policy", "results": [one]}]}


def failed(error: str) -> Callable[[str], tuple[int, dict[str, Any]]]:
    return lambda _: (200, result({"status": "fail", "error": error}))


@pytest.fixture
async def manifest(tmp_path: Path) -> Manifest:
    async with vault_world(tmp_path) as world:
        item = await world.seal()
        return read_protected(io.BytesIO(world.containers[item.id])).manifest


async def run(server: Server, manifest: Manifest) -> tuple[tuple[bytes, str], list[Invitation]]:
    told: list[Invitation] = []
    return await Away(server, Clock(), told.append).content_key(manifest), told


async def test_a_program_that_was_let_in_gets_the_key(manifest: Manifest):
    server = Server(tokens=[{"error": "authorization_pending"}, TOKEN])
    (key, reader), told = await run(server, manifest)
    assert (key, reader) == (b"k" * 32, "bob@fabrikam.example")
    assert told == [Invitation(BASE, f"{BASE}/device", "BCDF-GHJK", 600.0)]


ELSEWHERE = "https://portal.contoso.example.evil.example"
ODD: list[tuple[dict[str, Any], type[MtaError], str]] = [
    ({"issuer": {**ISSUER, "token_endpoint": f"{ELSEWHERE}/token"}}, TdfUnsupported, "lets nobody in"),
    ({"issuer": {**ISSUER, "device_authorization_endpoint": f"{ELSEWHERE}/d"}}, TdfUnsupported, "lets nobody in"),
    ({"issuer": {}}, TdfUnsupported, "lets nobody in"),
    ({"device": {**DEVICE, "verification_uri": f"{ELSEWHERE}/device"}}, KeyAway, "no code"),
    ({"device": {"error": "slow_down"}}, KeyAway, "slow_down"),
    ({"tokens": [{"error": "access_denied"}]}, NotOpened, "sent away"),
    ({"tokens": [{"error": "expired_token"}]}, NotOpened, "time of the code"),
    ({"rewrap": failed("rpc error: code = PermissionDenied desc = forbidden")}, NotOpened, "gives no key"),
    ({"rewrap": failed("rpc error: code = InvalidArgument desc = bad request")}, TdfTampered, "was changed"),
    ({"rewrap": failed("rpc error: code = Unavailable desc = try again later")}, KeyAway, "cannot open it now"),
    ({"rewrap": lambda _: (401, {"code": "unauthenticated"})}, KeyAway, "unauthenticated"),
    ({"rewrap": lambda _: (200, {"responses": []})}, KeyAway, "internal"),
    ({"rewrap": lambda _: (200, result({"status": "permit", "kasWrappedKey": "AAAA"}, "no key"))}, KeyAway, "internal"),
]


@pytest.mark.parametrize(("changes", "error", "words"), ODD, ids=range(len(ODD)))
async def test_what_is_not_as_it_should_be(
    manifest: Manifest, changes: dict[str, Any], error: type[MtaError], words: str
):
    with pytest.raises(error, match=words):
        await run(Server(**changes), manifest)


@pytest.mark.parametrize("url", ["http://portal.contoso.example/kas", "ftp://127.0.0.1/kas", "portal", ""])
async def test_a_key_server_in_clear_is_not_asked(manifest: Manifest, url: str):
    elsewhere = replace(manifest, keys=tuple(replace(key, url=url) for key in manifest.keys))
    server = Server()
    with pytest.raises(TdfUnsupported, match="is not asked"):
        await run(server, elsewhere)
    assert server.asked == []


async def test_a_key_for_somebody_else_is_no_key(manifest: Manifest):
    other = ec.generate_private_key(ec.SECP256R1())
    from mta.rfc.kas.session import pem

    server = Server(rewrap=lambda _: granted(pem(other.public_key())))
    with pytest.raises(KeyAway):
        await run(server, manifest)
