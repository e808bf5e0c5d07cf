"""Judges signatures: RFC 6376 §6.1, with RFC 8301 and RFC 8463. Pure: keys and time are handed in."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from mta.model.auth import AuthResult, DkimOutcome
from mta.model.message import HeaderBlock, HeaderField
from mta.ports import DnsStatus, TxtAnswer
from mta.rfc.dkim.body import BodyHash, BodyRequest
from mta.rfc.dkim.canonicalize import Headers
from mta.rfc.dkim.key import KeyRecord, PublicKey, distinct, is_key_record, parse_key
from mta.rfc.dkim.parse import (
    Coverage,
    Signature,
    SignedField,
    TagError,
    domain_of,
    parse_signature,
    parse_tags,
)

MAIL = frozenset({"email"})  # the service of a key that signs ordinary mail (RFC 6376 §3.6.1)
MOST = 10  # signatures that are judged: more are no sign of good faith, and each costs a look-up
_PADDING, _HASHED = PKCS1v15(), Prehashed(SHA256())


@dataclass(frozen=True, slots=True)
class Fault:
    """Why something does not pass."""

    result: AuthResult
    reason: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A DKIM-Signature field: a signature to be judged, or, where it cannot be one, the outcome already."""

    signature: Signature | None = None
    outcome: DkimOutcome | None = None
    services: frozenset[str] = MAIL

    @property
    def body_request(self) -> BodyRequest | None:
        """The body hash that judging it takes."""
        return request_of(self.signature.covers) if self.signature else None


def signatures(block: HeaderBlock, services: frozenset[str] = MAIL) -> tuple[Candidate, ...]:
    """The first ten DKIM-Signature fields, from the top; `services` are those that a key may be for."""
    fields = [field for field in block.fields if field.name == b"dkim-signature"]
    return tuple(_candidate(field, block.raw, services) for field in fields[:MOST])


def body_requests(block: HeaderBlock) -> tuple[BodyRequest, ...]:
    """The body hashes that judging all its signatures takes: for callers that hash a large body elsewhere first."""
    wanted = (candidate.body_request for candidate in signatures(block))
    return tuple(request for request in wanted if request is not None)


def judge(
    candidate: Candidate, headers: Headers, body: BodyHash | None, answer: TxtAnswer | None, now: float
) -> DkimOutcome:
    """What a signature is worth at epoch second `now`; `answer` is what DNS said about its key."""
    signature = candidate.signature
    if candidate.outcome is not None or signature is None or body is None or answer is None:
        return candidate.outcome or DkimOutcome(AuthResult.TEMPERROR, reason="it was not looked at")
    key = key_of(signature.by, answer, candidate.services)
    if isinstance(key, Fault):
        return _outcome(signature, key)
    fault = (
        _misuse(signature, key)
        or _expired(signature, now)
        or altered(signature.by, signature.covers, headers, body, key)
        or uncovered(signature.covers, headers, body)
    )
    return _outcome(signature, fault or Fault(AuthResult.PASS, "the signature is good"), key)


def key_of(by: SignedField, answer: TxtAnswer, services: frozenset[str] = MAIL) -> KeyRecord | Fault:
    """The key that the answer holds for this signing field (RFC 6376 §6.1.2)."""
    if answer.status is DnsStatus.TEMPORARY:
        return Fault(AuthResult.TEMPERROR, f"the key {by.key_name} cannot be looked up now: {answer.detail}")
    records = distinct([record for record in answer.records if is_key_record(record)][:MOST])
    if not records:
        lack = "nothing there is a key" if answer.records else answer.status.value
        return Fault(AuthResult.PERMERROR, f"there is no key at {by.key_name}: {lack}")
    if len(records) > 1:
        # RFC 6376 §3.6.2.2: a selector's record is unique, else what it means is undefined
        return Fault(AuthResult.PERMERROR, f"there are {len(records)} different keys at {by.key_name}")
    try:
        key = parse_key(records[0])
    except TagError as error:
        return Fault(AuthResult.PERMERROR, f"the key at {by.key_name} cannot be used: {error}")
    reason = _unfit(by, key, services)
    return Fault(AuthResult.PERMERROR, f"the key at {by.key_name} {reason}") if reason else key


def altered(by: SignedField, covers: Coverage, headers: Headers, body: BodyHash, key: KeyRecord) -> Fault | None:
    """Whether body or header are not what was signed (RFC 6376 §6.1.3)."""
    if covers.body_length is not None and covers.body_length > body.length:
        return Fault(AuthResult.FAIL, f"the body has {body.length} octets, l= says {covers.body_length}")
    if body.digest != covers.body_hash:
        return Fault(AuthResult.FAIL, "the body was altered: its hash is not bh=")
    own = by.field
    digest = headers.digest(covers.headers, covers.header_form, own, by.blanked.canonical(covers.header_form))
    if not proves(key.key, by.signature, digest):
        return Fault(
            AuthResult.FAIL, "the signature does not fit: signed header fields were altered, or the key is another"
        )
    return None


def proves(key: PublicKey | None, signature: bytes, digest: bytes) -> bool:
    """Whether `signature` was made with the private half of `key` over a SHA-256 digest."""
    if key is None:
        return False
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, digest)  # RFC 8463 §3: PureEdDSA over the hash
        else:
            key.verify(signature, digest, _PADDING, _HASHED)
    except InvalidSignature:
        return False
    return True


def request_of(covers: Coverage) -> BodyRequest:
    """The body hash that a signature is compared with."""
    return BodyRequest(covers.body_form, covers.body_length)


def _candidate(field: HeaderField, raw: bytes, services: frozenset[str]) -> Candidate:
    tags: dict[str, bytes] = {}
    try:
        tags = parse_tags(raw[field.value_start : field.end])
        return Candidate(parse_signature(field, raw, tags), services=services)
    except TagError as error:
        algorithm = tags.get("a", b"").decode("utf-8")
        return Candidate(
            outcome=DkimOutcome(
                AuthResult.PERMERROR,
                domain=_name(tags, "d", 2),
                selector=_name(tags, "s", 1),
                algorithm=algorithm if algorithm.isascii() and algorithm.isprintable() and len(algorithm) < 40 else "",
                reason=f"it is no usable signature: {error}",
            )
        )


def _name(tags: dict[str, bytes], tag: str, labels: int) -> str:
    try:
        return domain_of(tags.get(tag, b""), tag, labels)
    except TagError:
        return ""


def _unfit(by: SignedField, key: KeyRecord, services: frozenset[str]) -> str:
    """Why the key must not be used for such a signature, empty if it may."""
    if key.revoked:
        return "was revoked: p= is empty"
    kind, _, hashed = by.algorithm.partition("-")
    if key.kind != kind:
        return f"is of kind {key.kind}, the signature is {by.algorithm}"
    if key.hashes and hashed not in key.hashes:
        return f"is not for {hashed} (h=)"
    if not {"*", *services} & set(key.services):
        return "is not for e-mail (s=)"  # RFC 6376 §3.6.1
    return ""


def _misuse(signature: Signature, key: KeyRecord) -> Fault | None:
    if key.strict and signature.identity_domain != signature.by.domain:
        # RFC 6376 §3.6.1: t=s, no subdomains in i=
        return Fault(
            AuthResult.PERMERROR,
            f"the key is for {signature.by.domain} itself (t=s), i= is {signature.identity_domain}",
        )
    return None


def _expired(signature: Signature, now: float) -> Fault | None:
    if signature.expiration is not None and signature.expiration < now:
        return Fault(AuthResult.FAIL, f"the signature has expired {int(now - signature.expiration)} seconds ago (x=)")
    return None


def uncovered(covers: Coverage, headers: Headers, body: BodyHash) -> Fault | None:
    """Whether a good signature leaves room for what was not signed, or says nothing about an author."""
    authors = len(headers.named(b"from")) + (b"from" in headers.block.extended)
    if not authors:
        return Fault(AuthResult.PERMERROR, "the message has no From field")
    if authors > covers.headers.count(b"from"):
        # RFC 6376 §8.15: people may be shown the one that is not signed
        return Fault(AuthResult.POLICY, f"the message has {authors} From fields, and not all of them are signed")
    if covers.body_length is not None and covers.body_length < body.length:
        # RFC 6376 §8.2: what was appended is not signed
        return Fault(
            AuthResult.POLICY, f"only {covers.body_length} of {body.length} octets of the body are signed (l=)"
        )
    return None


def _outcome(signature: Signature, fault: Fault, key: KeyRecord | None = None) -> DkimOutcome:
    testing = key is not None and key.testing
    return DkimOutcome(
        fault.result,
        signature.by.domain,
        signature.by.selector,
        signature.by.algorithm,
        # RFC 6376 §3.6.1: t=y, no different from unsigned mail
        fault.reason + (" (the domain is testing, t=y: to be treated as unsigned)" if testing else ""),
        key_bits=key.bits if key else 0,
        identity=signature.identity,
        tag=signature.by.tag,
        testing=testing,
        body_length=signature.covers.body_length,
        signed_headers=tuple(b":".join(signature.covers.headers).decode().split(":")),
    )
