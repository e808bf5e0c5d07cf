"""Reads and verifies SignedData (RFC 5652 §5.4-5.6): mathematics only, whom to trust is asked elsewhere.

One strict path. Every signer is judged; the content is where the message says it is and nowhere else; attributes that
must be there once are there once; weak algorithms are refused, right or not.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
from calendar import timegm
from collections.abc import Sequence
from dataclasses import dataclass
from time import strptime

from mta.errors import SmimeError
from mta.model.smime import SignatureStatus, SignedOutcome, SignerOutcome
from mta.rfc.smime.algorithms import (
    ALGORITHM_PROTECTION,
    CAPABILITIES,
    CONTENT_TYPE,
    CONTENT_TYPES,
    DATA,
    MESSAGE_DIGEST,
    SIGNING_CERTIFICATE,
    SIGNING_CERTIFICATE_V2,
    SIGNING_TIME,
    Algorithm,
    Digest,
    read_algorithm,
)
from mta.rfc.smime.ber import INTEGER, OCTET_STRING, OID, SEQUENCE, SET, Element, read
from mta.rfc.smime.bounds import MAX_NODES
from mta.rfc.smime.capabilities import read_capabilities
from mta.rfc.smime.identify import Identifier, read_identifier
from mta.rfc.smime.party import Party, parties
from mta.rfc.smime.signature import Claim, Verdict, check, digest_named, scheme_name
from mta.rfc.smime.signed_data import Signed, read_signed_data

MINIMUM_RSA_BITS = 2048
UTC_TIME, GENERALIZED_TIME = 0x17, 0x18
_MALFORMED, _BAD = SignatureStatus.MALFORMED, SignatureStatus.BAD


@dataclass(frozen=True, slots=True)
class Judging:
    """What all signers of a message are judged by."""

    content: bytes | memoryview
    content_type: str
    digests: frozenset[str]
    parties: tuple[Party, ...]
    minimum_rsa_bits: int


def verify_signed_data(
    der: bytes,
    detached: bytes | None,
    certificates: Sequence[bytes] = (),
    *,
    minimum_rsa_bits: int = MINIMUM_RSA_BITS,
) -> SignedOutcome:
    """What the signatures of a ContentInfo come to. Raises SmimeError for what is no SignedData at all.

    `detached` is the signed content of a multipart/signed, None where it must be inside; `certificates` are further
    ones in which signers are looked for.
    """
    signed = read_signed_data(der)
    name = CONTENT_TYPES.get(signed.content_type, signed.content_type)
    reason = _content_fault(signed, detached)
    if reason:
        outcomes = tuple(SignerOutcome(_MALFORMED, reason) for _ in signed.signers)
        return SignedOutcome(outcomes, signed.certificates, signed.content, name, reason)
    if not signed.signers:
        return SignedOutcome((), signed.certificates, signed.content, name, "nobody signed it")
    content = detached if detached is not None else signed.content
    assert content is not None
    signers = parties((*signed.certificates, *certificates))
    judging = Judging(content, signed.content_type, signed.digests, signers, minimum_rsa_bits)
    outcomes = tuple(_outcome(element, judging) for element in signed.signers)
    return SignedOutcome(outcomes, signed.certificates, signed.content, name)


def _content_fault(signed: Signed, detached: bytes | None) -> str:
    if detached is not None and signed.content is not None:
        return "it holds a content of its own beside the detached one"
    if detached is None and signed.content is None and signed.signers:
        return "it holds no content"
    if detached is not None and signed.content_type != DATA:
        return "a detached content must be of the type data"
    return ""


# --- one signer --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Info:
    """A SignerInfo (RFC 5652 §5.3). `attributes` is None where nothing is signed but the content."""

    identifier: Identifier
    digest_algorithm: Algorithm
    attributes: Element | None
    algorithm: Algorithm
    signature: bytes


def _outcome(element: Element, judging: Judging) -> SignerOutcome:
    try:
        info = _read_info(element)
    except SmimeError as error:
        return SignerOutcome(_MALFORMED, f"a signer that cannot be read: {error}")
    signer = info.identifier.among(judging.parties)
    certificate = signer.der if signer else None
    digest_name, scheme, told = info.digest_algorithm.name, info.algorithm.name, _Told()
    try:
        digest = digest_named(info.digest_algorithm)
        scheme = scheme_name(info.algorithm, digest)
        values = _attributes(info.attributes)
        told = _told(values)
        if digest.oid not in judging.digests:  # RFC 5652 §5.3 lets us; who reads as it comes would not have hashed it
            raise Verdict(_MALFORMED, f"{digest.name} is not among the digests of the whole")
        if signer is None:
            raise Verdict(_MALFORMED, f"the certificate of the signer is not there ({info.identifier.text})")
        claim = _claim(info, values, digest, judging)
        check(signer, claim, judging.minimum_rsa_bits)
        _check_binding(values, info, signer)
    except Verdict as verdict:
        return SignerOutcome(
            verdict.status, verdict.reason, certificate, digest_name, scheme, told.signing_time, told.capabilities
        )
    except SmimeError as error:
        return SignerOutcome(_MALFORMED, str(error), certificate, digest_name, scheme)
    return SignerOutcome(
        SignatureStatus.GOOD, "", certificate, digest_name, scheme, told.signing_time, told.capabilities
    )


def _read_info(element: Element) -> _Info:
    if element.tag != SEQUENCE:
        raise SmimeError("it is no sequence")
    parts = list(element.children())
    if parts and parts[-1].tag == 0xA1:
        _check_unsigned(parts.pop())
    if len(parts) == 6 and parts[3].tag == 0xA0:
        attributes: Element | None = parts.pop(3)
    else:
        attributes = None
    if [part.tag for part in parts[2:]] != [SEQUENCE, SEQUENCE, OCTET_STRING] or parts[0].tag != INTEGER:
        raise SmimeError("its parts are not those of a signer")
    return _Info(
        read_identifier(parts[1]),
        read_algorithm(parts[2]),
        attributes,
        read_algorithm(parts[3]),
        parts[4].octets(),
    )


def _check_unsigned(attributes: Element) -> None:
    """What is not signed proves nothing, and these must not be there (RFC 5652 §11)."""
    for attribute in attributes.children():
        oid = attribute.only(OID, SET)[0].oid()
        if oid in (CONTENT_TYPE, MESSAGE_DIGEST, SIGNING_TIME):
            raise SmimeError(f"the attribute {oid} is not signed")


def _attributes(attributes: Element | None) -> dict[str, list[Element]]:
    """The values of each signed attribute. Raises Verdict for an attribute that stands there twice."""
    found: dict[str, list[Element]] = {}
    for attribute in attributes.children() if attributes else ():
        oid, values = attribute.only(OID, SET)
        name = oid.oid()
        if name in found:
            raise Verdict(_MALFORMED, f"the signed attribute {name} stands there twice")
        found[name] = list(values.children())
    return found


def _claim(info: _Info, values: dict[str, list[Element]], digest: Digest, judging: Judging) -> Claim:
    """What the signature must be over: the attributes, which bind type and digest, or the bare content."""
    if info.attributes is None:
        if judging.content_type != DATA:
            raise Verdict(_MALFORMED, "signed attributes are missing")  # RFC 5652 §5.3
        if _looks_like_attributes(judging.content):
            raise Verdict(SignatureStatus.REFUSED, "the content reads like signed attributes: it may be another's")
        return Claim(info.algorithm, info.digest_algorithm, info.signature, judging.content)
    if _single(values, CONTENT_TYPE, "content type", OID).oid() != judging.content_type:
        raise Verdict(_MALFORMED, "the signed content type is not that of the content")
    said = _single(values, MESSAGE_DIGEST, "message digest", OCTET_STRING).octets()
    if not hmac.compare_digest(said, digest.of(judging.content)):
        raise Verdict(_BAD, "the content was changed: its digest is another")
    # RFC 5652 §5.4: signed was a SET OF; the octets are those received, never written anew
    return Claim(info.algorithm, info.digest_algorithm, info.signature, b"\x31" + info.attributes.raw[1:])


def _single(values: dict[str, list[Element]], oid: str, name: str, *tags: int) -> Element:
    if oid not in values:
        raise Verdict(_MALFORMED, f"the signed attribute {name} is missing")
    if len(values[oid]) != 1 or values[oid][0].tag not in tags:
        raise Verdict(_MALFORMED, f"the signed attribute {name} is not one proper value")
    return values[oid][0]


def _looks_like_attributes(content: bytes | memoryview) -> bool:
    """A signature over attributes is one over this content, too, if somebody leaves the attributes out."""
    if content[:1] != b"\x31" or len(content) > MAX_NODES:
        return False
    try:
        return all(child.tag == SEQUENCE for child in read(content).children())
    except SmimeError:
        return False


def _check_binding(values: dict[str, list[Element]], info: _Info, signer: Party) -> None:
    """The certificate and the algorithms, where the signer has signed them as well (RFC 5035, RFC 6211)."""
    for oid, named, default in ((SIGNING_CERTIFICATE_V2, True, "sha256"), (SIGNING_CERTIFICATE, False, "sha1")):
        if oid in values:
            value = _single(values, oid, "signing certificate", SEQUENCE)
            if _certificate_digest(value, named, default, signer.der) is False:
                raise Verdict(_BAD, "the signer signed with another certificate")
    if ALGORITHM_PROTECTION in values:
        parts = list(_single(values, ALGORITHM_PROTECTION, "algorithm protection", SEQUENCE).children())
        algorithms = [read_algorithm(part) for part in parts]
        if [(algorithm.oid, algorithm.bare) for algorithm in algorithms] != [
            (algorithm.oid, algorithm.bare) for algorithm in (info.digest_algorithm, info.algorithm)
        ]:
            raise Verdict(_BAD, "the algorithms are not those that the signer signed")


def _certificate_digest(value: Element, named: bool, default: str, certificate: bytes) -> bool:
    """Whether the first of the certificate identifiers, which is the signer's (RFC 5035 §4), has this digest."""
    identifiers = next(value.children(), None)
    first = next(identifiers.children(), None) if identifiers else None
    parts = list(first.children()) if first else []
    if named and parts and parts[0].tag == SEQUENCE:
        digest = digest_named(read_algorithm(parts.pop(0)))
        said = digest.of(certificate)
    else:
        said = hashlib.new(default, certificate, usedforsecurity=False).digest()
    if not parts or parts[0].tag != OCTET_STRING:
        raise SmimeError("a signing certificate without its digest")
    return hmac.compare_digest(said, parts[0].octets())


@dataclass(frozen=True, slots=True)
class _Told:
    """What a signer says beside the signature."""

    signing_time: float | None = None
    capabilities: tuple[str, ...] = ()


def _told(values: dict[str, list[Element]]) -> _Told:
    when: float | None = None
    words: tuple[str, ...] = ()
    if SIGNING_TIME in values:
        when = _time(_single(values, SIGNING_TIME, "signing time", UTC_TIME, GENERALIZED_TIME))
    if CAPABILITIES in values:
        with contextlib.suppress(SmimeError):  # they may raise what we write, and prove nothing
            words = read_capabilities(_single(values, CAPABILITIES, "capabilities", SEQUENCE))
    return _Told(when, words)


def _time(value: Element) -> float:
    """RFC 5652 §11.3: in UTC and with seconds; the years of UTCTime are those of RFC 5280 §4.1.2.5.1."""
    text = bytes(value.body).decode("latin-1")
    if value.tag == UTC_TIME:
        text = ("19" if text[:2] >= "50" else "20") + text
    if not re.fullmatch(r"[0-9]{14}Z", text):
        raise Verdict(_MALFORMED, "a signing time that is none")
    try:
        return float(timegm(strptime(text, "%Y%m%d%H%M%SZ")))
    except ValueError:
        raise Verdict(_MALFORMED, "a signing time that is none") from None
