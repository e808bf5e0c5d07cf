"""What a reader's own program asks of a key server, and how it takes the answer: the other side of request.py."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from mta.errors import JsonError, KasError
from mta.rfc.json.read import read_object
from mta.rfc.kas.refuse import BAD_REQUEST, FORBIDDEN
from mta.rfc.kas.session import SALT, pem

_LIFE = 60  # seconds of a signed request
_LARGEST = 1 << 20  # octets of an answer
_NONCE = 12


def write_claims(access: Mapping[str, Any], policy: str, session: ec.EllipticCurvePublicKey, now: int) -> bytes:
    """The claims of the signed request token for one key access of a manifest, as it stands there."""
    key = {"keyAccessObjectId": "kao-0", "keyAccessObject": dict(access)}
    asked = {"algorithm": "", "policy": {"id": "policy", "body": policy}, "keyAccessObjects": [key]}
    body = json.dumps({"clientPublicKey": pem(session), "requests": [asked]})
    return json.dumps({"requestBody": body, "iat": now, "exp": now + _LIFE}).encode()


def read_result(answer: bytes, session: ec.EllipticCurvePrivateKey) -> bytes:
    """The content key in the answer to one key access. Raises KasError with the server's own word for a refusal."""
    try:
        told = read_object(answer, _LARGEST)
        [result] = told["responses"][0]["results"]
        if result["status"] != "permit":
            raise KasError(_code(str(result.get("error", ""))), str(result.get("error", ""))[:200])
        server = load_pem_public_key(str(told["sessionPublicKey"]).encode())
        wrapped = base64.b64decode(result["kasWrappedKey"], validate=True)
        if not isinstance(server, ec.EllipticCurvePublicKey):
            raise TypeError("no key on a curve")
        shared = HKDF(hashes.SHA256(), 32, SALT, b"").derive(session.exchange(ec.ECDH(), server))
        return AESGCM(shared).decrypt(wrapped[:_NONCE], wrapped[_NONCE:], None)
    except (JsonError, KeyError, IndexError, TypeError, ValueError, binascii.Error, InvalidTag) as error:
        raise KasError("internal", f"the key server's answer cannot be read: {type(error).__name__}") from None


def _code(error: str) -> str:
    """By the words that every client looks for (rfc/kas/refuse.py)."""
    if BAD_REQUEST in error or "InvalidArgument" in error:
        return "invalid_argument"
    return "permission_denied" if FORBIDDEN in error or "PermissionDenied" in error else "unavailable"
