"""The key server as a process of its own, and a client of it that can be told to cheat."""

from __future__ import annotations

import base64
import contextlib
import gzip
import http.client
import io
import json
import os
import secrets
import signal
import ssl
import textwrap
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mta.rfc.jose.algorithms import ALGORITHMS, signer
from mta.rfc.jose.jwk import write_jwk
from mta.rfc.jose.jws import sign_jws
from mta.rfc.tdf.manifest import Manifest
from mta.rfc.tdf.open import read_protected, unlock
from tests.support.patience import PATIENCE, patient
from tests.support.running_mta import free_port, mta, until
from tests.support.zygote import spawn

REWRAP = "/kas.AccessService/Rewrap"
_OAEP = padding.OAEP(padding.MGF1(SHA1()), SHA1(), None)
CONFIG = """
server:
  hostname: mx.contoso.example
  portal: {address: "127.0.0.1:{port}", url: "http://localhost:{port}"}
domains: {contoso.example: {deliver_to: ["127.0.0.1:25"]}}
protection:
  root_keys: [{id: r1, key: keys/r1.key}, {id: r2, key: keys/r2.key}]
  clients:
    - {id: bob, secret_file: bob.secret, address: bob@fabrikam.example}
    - {id: eve, secret_file: eve.secret, address: eve@tailspin.example}
    - {id: alice, secret_file: alice.secret, address: alice@contoso.example}
  labels:
    open: {rights: co-author, readers: recipients}
    closed: {rights: do-not-forward, readers: recipients}
    proven: {rights: co-author, readers: recipients, require_pop: true}
"""
BOB, EVE = "bob@fabrikam.example", "eve@tailspin.example"


@dataclass
class KeyServer:
    """A running key server with one root key."""

    folder: Path
    port: int
    tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"

    def command(self, *words: str) -> Any:
        """An mta command; its JSON."""
        done = mta(*words, "--config", str(self.folder / "connectors.yaml"), "--json", check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def protect(self, content: bytes, label: str = "open", to: str = BOB, *more: str) -> tuple[bytes, dict[str, Any]]:
        """A protected file and what is told of it."""
        source, out = self.folder / f"{secrets.token_hex(4)}.bin", self.folder / f"{secrets.token_hex(4)}.tdf"
        source.write_bytes(content)
        told = self.command("protect", str(source), "--label", label, "--to", to, "--out", str(out), *more)
        return out.read_bytes(), told

    def log(self) -> list[dict[str, Any]]:
        """All events so far."""
        found: list[dict[str, Any]] = self.command("log", "list")
        return found

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """One request over a connection of its own."""
        if self.tls:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=patient(20), context=self.tls
            )
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=patient(20))
        with contextlib.closing(connection):
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers


@dataclass
class Client:
    """A program of a reader's. Every part of what it sends can be replaced."""

    server: KeyServer
    id: str = "bob"
    session: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: rsa.generate_private_key(65_537, 2048)
    )
    signing: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    dpop: bool = False

    def token(self, secret: str = "") -> str:
        """An access token by client credentials. Raises AssertionError if it is refused."""
        form = {
            "grant_type": "client_credentials",
            "client_id": self.id,
            "client_secret": secret or f"{self.id}-s3cret",
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", **self.proof("/token")}
        status, body, _ = self.server.ask("POST", "/token", urlencode(form).encode(), headers)
        assert status == 200, body
        found: str = json.loads(body)["access_token"]
        return found

    def proof(self, path: str, **claims: Any) -> dict[str, str]:
        """The DPoP header, if this client proves its key."""
        if not self.dpop:
            return {}
        told = {"htm": "POST", "htu": f"{self.server.url}{path}", "iat": int(time.time()), "jti": secrets.token_hex(8)}
        header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": write_jwk(self.signing.public_key())}
        return {"DPoP": self._sign(header, {**told, **claims})}

    def _sign(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        return sign_jws(header, json.dumps(claims).encode(), signer(ALGORITHMS["ES256"], self.signing))

    def request(self, manifest: Manifest, policy: str = "", **changes: Any) -> str:
        """The signed request token for a file's key; `changes` replace parts of the key access."""
        [access] = manifest.body["encryptionInformation"]["keyAccess"]
        public = self.session.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        key = {"keyAccessObjectId": "kao-0", "keyAccessObject": {**access, **changes}}
        asked = {"policy": {"id": "policy", "body": policy or manifest.policy}, "keyAccessObjects": [key]}
        body = json.dumps({"clientPublicKey": public, "requests": [asked]})
        now = int(time.time())
        return self._sign({"alg": "ES256"}, {"requestBody": body, "iat": now, "exp": now + 60})

    def rewrap(self, token: str, srt: str, **headers: str) -> tuple[int, dict[str, Any]]:
        """Ask for a key; the status and the answer's document."""
        body = json.dumps({"signedRequestToken": srt}).encode()
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {token}", **self.proof(REWRAP), **headers}
        status, answer, _ = self.server.ask("POST", REWRAP, body, sent)
        return status, json.loads(answer)

    def outcome(self, container: bytes, policy: str = "", **changes: Any) -> str:
        """`permit`, or the refusal in the words that clients look for."""
        manifest = read_protected(io.BytesIO(container)).manifest
        status, answer = self.rewrap(self.token(), self.request(manifest, policy, **changes))
        assert status == 200, answer
        [result] = answer["responses"][0]["results"]
        return str(result.get("error", result["status"]))

    def open(self, container: bytes) -> bytes:
        """The content, by this client's own key."""
        protected = read_protected(io.BytesIO(container))
        status, answer = self.rewrap(self.token(), self.request(protected.manifest))
        assert status == 200, answer
        [result] = answer["responses"][0]["results"]
        assert result["status"] == "permit", result
        assert isinstance(self.session, rsa.RSAPrivateKey)
        content_key = self.session.decrypt(base64.b64decode(result["kasWrappedKey"]), _OAEP)
        return b"".join(unlock(protected, content_key).chunks())


def packed(data: bytes) -> bytes:
    """As current clients send it."""
    return gzip.compress(data)


@contextlib.contextmanager
def running_key_server(folder: Path, text: str = CONFIG) -> Iterator[KeyServer]:
    """`mta web` on a configuration in which `{port}` is filled in; its root key r1 is made."""
    server = key_server(folder, text)
    with serving(server):
        yield server


def key_server(folder: Path, text: str = CONFIG) -> KeyServer:
    """A key server that is not running: its configuration is written, its root key r1 made."""
    port = free_port()
    config = folder / "connectors.yaml"
    config.write_text(textwrap.dedent(text).replace("{port}", str(port)))
    for name in ("bob", "eve", "alice"):
        (folder / f"{name}.secret").write_text(f"{name}-s3cret\n")
        (folder / f"{name}.secret").chmod(0o600)
    server = KeyServer(folder, port)
    server.command("keys", "root", "create", "r1")
    return server


@contextlib.contextmanager
def serving(server: KeyServer) -> Iterator[KeyServer]:
    """`mta web` on what is configured."""
    folder = server.folder
    with open(folder / "web.log", "wb") as log, open(os.devnull, "rb") as empty:
        words = ["web", "--config", str(folder / "connectors.yaml")]
        process = spawn(words, (empty.fileno(), log.fileno(), log.fileno()))
    try:
        until(lambda: _answers(server), describe=lambda: (folder / "web.log").read_text())
        yield server
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) in (0, -signal.SIGTERM)
    assert "defect" not in (folder / "web.log").read_text()


def _answers(server: KeyServer) -> bool:
    try:
        return server.ask("GET", "/healthz")[0] == 200
    except OSError:
        return False
