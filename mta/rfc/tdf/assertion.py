"""Statements about a protected file that are bound to its content key.

They are bound by HS256 under the content key, which all readers verify; a binding by any other key makes them refuse
the file. What *we* sign goes into a statement's value, as a token of its own.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mta.errors import JoseError, JsonError, TdfError, TdfTampered
from mta.rfc.jose.jws import read_jws, sign_hs256, verify_hs256
from mta.rfc.json.canonical import canonical

MAX_BINDING = 16 * 1024 * 1024  # characters: it holds all the segments' hashes in base64, twice encoded
POLICY_ID, FILE_ID = "mta-policy", "mta-file"
_WORDS = ("id", "type", "scope", "appliesToState")


@dataclass(frozen=True, slots=True)
class Assertion:
    """One statement. `verified` is set where it was read, and its binding holds under the content key."""

    id: str
    schema: str
    value: str
    type: str = "handling"
    scope: str = "tdo"
    state: str = "encrypted"
    format: str = "string"
    verified: bool = False


def write_assertion(assertion: Assertion, content_key: bytes, hashes: bytes, hexadecimal: bool) -> dict[str, object]:
    """The statement as it stands in the manifest, bound to the key and to the segments' hashes in a row."""
    statement = {"format": assertion.format, "schema": assertion.schema, "value": assertion.value}
    values = (assertion.id, assertion.type, assertion.scope, assertion.state)
    written: dict[str, object] = {**dict(zip(_WORDS, values, strict=True)), "statement": statement}
    digest = hashlib.sha256(canonical(written)).digest()
    claims = {
        "assertionHash": digest.hex(),
        "assertionSig": _covered(hashes, digest, hexadecimal),
    }
    signature = sign_hs256({}, canonical(claims), content_key)
    return {**written, "binding": {"method": "jws", "signature": signature}}


def read_assertion(value: Mapping[str, Any], content_key: bytes, hashes: bytes) -> Assertion:
    """The statement of a manifest, verified where it is bound to the content key.

    Raises TdfTampered where it claims to be bound and is not, TdfError where it cannot be read.
    """
    statement = value.get("statement")
    statement = statement if isinstance(statement, dict) else {}
    text = statement.get("value", "")
    if not isinstance(text, str):  # some writers put JSON there as it is
        text = _canonical(text).decode("utf-8")
    return Assertion(
        id=value["id"],
        schema=str(statement.get("schema", "")),
        value=text,
        type=str(value.get("type", "")),
        scope=str(value.get("scope", "")),
        state=str(value.get("appliesToState", "")),
        format=str(statement.get("format", "")),
        verified=_holds(value, content_key, hashes),
    )


def _holds(value: Mapping[str, object], content_key: bytes, hashes: bytes) -> bool:
    binding = value.get("binding")
    token = binding.get("signature") if isinstance(binding, dict) else None
    if not isinstance(token, str) or not token:
        return False
    try:
        jws = read_jws(token, MAX_BINDING)
        if jws.algorithm != "HS256":
            return False  # bound to somebody's own key, which we do not know: a statement of an unknown
        claims = jws.claims() if verify_hs256(jws, content_key) else {}
    except JoseError as error:
        raise TdfError(f"the assertion {value['id']!r}: {error}") from None
    bare = {name: part for name, part in value.items() if name != "binding"}
    digest = hashlib.sha256(_canonical(bare)).digest()
    covered = claims.get("assertionSig")
    if claims.get("assertionHash") != digest.hex() or not isinstance(covered, str):
        raise TdfTampered(f"the assertion {value['id']!r} is not bound to the content key")
    if not any(_equal(covered, _covered(hashes, digest, hexadecimal)) for hexadecimal in (False, True)):
        raise TdfTampered(f"the assertion {value['id']!r} belongs to another payload")
    return True


def _covered(hashes: bytes, digest: bytes, hexadecimal: bool) -> str:
    return base64.b64encode(hashes + (digest.hex().encode() if hexadecimal else digest)).decode("ascii")


def _equal(value: str, expected: str) -> bool:
    return hmac.compare_digest(value.encode("utf-8", "replace"), expected.encode("ascii"))


def _canonical(value: object) -> bytes:
    try:
        return canonical(value)
    except JsonError as error:
        raise TdfError(f"an assertion cannot be hashed: {error}") from None
