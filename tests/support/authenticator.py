"""A passkey in software: one EC key that answers what a browser would ask of an authenticator (WebAuthn §6)."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

_PRESENT, _VERIFIED, _WITH_KEY = 0x01, 0x04, 0x40


def text(data: bytes) -> str:
    """Octets as WebAuthn's JSON has them."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class Authenticator:
    """One passkey at one origin."""

    origin: str
    host: str = "localhost"
    id: bytes = b"passkey number 1"
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    count: int = 0
    flags: int = _PRESENT | _VERIFIED

    def make(self, options: str) -> bytes:
        """What follows navigator.credentials.create."""
        point = self.key.public_key().public_numbers()
        cose = {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}
        shown = self._data(_WITH_KEY) + bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(cose)
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": shown})
        client = self._client("webauthn.create", json.loads(options)["challenge"])
        return self._answer({"clientDataJSON": text(client), "attestationObject": text(attestation)})

    def use(self, options: str) -> bytes:
        """What follows navigator.credentials.get."""
        self.count += 1
        client, shown = self._client("webauthn.get", json.loads(options)["challenge"]), self._data()
        signature = self.key.sign(shown + hashlib.sha256(client).digest(), ec.ECDSA(SHA256()))
        response = {"clientDataJSON": text(client), "authenticatorData": text(shown), "signature": text(signature)}
        return self._answer(response)

    def _data(self, more: int = 0) -> bytes:
        head = hashlib.sha256(self.host.encode()).digest() + bytes([self.flags | more])
        return head + self.count.to_bytes(4, "big")

    def _client(self, kind: str, challenge: str) -> bytes:
        return json.dumps({"type": kind, "challenge": challenge, "origin": self.origin}).encode()

    def _answer(self, response: dict[str, Any]) -> bytes:
        named = {"id": text(self.id), "rawId": text(self.id), "type": "public-key", "clientExtensionResults": {}}
        return json.dumps({**named, "response": response}).encode()
