"""Keys, key records, and messages signed or judged with them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from mta.model.auth import DkimOutcome
from mta.rfc.dkim.body import AuthMessage, body_hashes
from mta.rfc.dkim.canonicalize import Headers
from mta.rfc.dkim.check import check
from mta.rfc.dkim.sign import BODY, Signer, sign
from mta.rfc.mime.header import scan_header
from tests.support.fake_resolver import FakeResolver

NOW = 1_790_000_000.0
DOMAIN = "contoso.example"
MESSAGE = (
    b"From: Anna <anna@contoso.example>\r\nTo: bernd@fabrikam.example\r\nSubject: Figures\r\n"
    b"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@contoso.example>\r\n\r\nHello,\r\nall is well.\r\n"
)


@lru_cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@lru_cache
def ed25519_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def public(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    """The value of p=."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return base64.b64encode(key.public_key().public_bytes_raw())
    return base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def record(key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    kind = b"rsa" if isinstance(key, rsa.RSAPrivateKey) else b"ed25519"
    return b"v=DKIM1; k=" + kind + b"; p=" + public(key)


def local_signer(domain: str, selector: str, key: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey) -> Signer:
    """A signer whose key is in memory."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return Signer(domain, selector, "ed25519-sha256", key.sign)
    padding, hashed = PKCS1v15(), Prehashed(SHA256())
    return Signer(domain, selector, "rsa-sha256", lambda digest: key.sign(digest, padding, hashed))


def rsa_signer() -> Signer:
    return local_signer(DOMAIN, "r", rsa_key())


def ed25519_signer() -> Signer:
    return local_signer(DOMAIN, "e", ed25519_key())


def published() -> dict[str, bytes]:
    return {f"r._domainkey.{DOMAIN}": record(rsa_key()), f"e._domainkey.{DOMAIN}": record(ed25519_key())}


def auth_message(raw: bytes) -> AuthMessage:
    return AuthMessage.in_memory(scan_header(raw, 1_000_000))


def signed(raw: bytes, *signers: Signer, now: float = NOW) -> bytes:
    """The message with a signature of each signer in front."""
    message = auth_message(raw)
    digest, headers = body_hashes(message, [BODY])[BODY].digest, Headers(message.block)
    return b"".join(sign(headers, digest, signer, now) for signer in signers) + raw


def resolver_of(records: Mapping[str, bytes | Iterable[bytes]]) -> FakeResolver:
    return FakeResolver(
        {(name, "TXT"): [value] if isinstance(value, bytes) else value for name, value in records.items()}
    )


async def judged(
    raw: bytes, records: Mapping[str, bytes | Iterable[bytes]] | None = None, now: float = NOW
) -> tuple[DkimOutcome, ...]:
    return await check(auth_message(raw), resolver_of(published() if records is None else records), now)
