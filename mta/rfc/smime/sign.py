"""Writes SignedData (RFC 5652 §5, RFC 8551). All that stays the same from message to message is prepared once.

Per message there is a digest, five attributes put in order, one operation of the private key, and a join.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm

from mta.errors import SmimeError
from mta.rfc.smime import der
from mta.rfc.smime.algorithms import (
    ALGORITHM_PROTECTION,
    CAPABILITIES,
    CONTENT_TYPE,
    DATA,
    MESSAGE_DIGEST,
    SIGNED_DATA,
    SIGNING_CERTIFICATE_V2,
    SIGNING_TIME,
    Pieces,
)
from mta.rfc.smime.capabilities import OURS
from mta.rfc.smime.party import Party, party
from mta.rfc.smime.profile import Profile
from mta.rfc.smime.signature import Scheme, scheme_for

_VERSION_1 = der.integer(1)
_MESSAGE_DIGEST = der.oid(MESSAGE_DIGEST)
_SIGNING_TIME = der.oid(SIGNING_TIME)
_CONTENT_TYPE = der.sequence(der.oid(CONTENT_TYPE), der.set_of([der.oid(DATA)]))
_CAPABILITIES = der.sequence(der.oid(CAPABILITIES), der.set_of([OURS]))
_2050 = 2_524_608_000  # from then on UTCTime has no year for it (RFC 5652 §11.3)


@dataclass(frozen=True, slots=True)
class SigningIdentity:
    """Who signs: the certificate, what leads to its root (DER, in this order), and the private key.

    `key` is a private key of `cryptography`, or an object of the same methods (a token's).
    """

    certificate: bytes
    chain: tuple[bytes, ...]
    key: object


@dataclass(frozen=True, slots=True)
class Signer:
    """An identity made ready to sign under a profile. `digest` is the word for micalg (RFC 8551 §3.5.3.2)."""

    scheme: Scheme
    certificates: tuple[bytes, ...]
    head: bytes  # of the SignerInfo: version, sid, digestAlgorithm
    attributes: tuple[bytes, ...]  # those that are always the same
    digested: bytes  # the attribute messageDigest up to the digest itself
    before: bytes  # of a SignedData that nobody else signs: version and digestAlgorithms
    bag: bytes  # its certificates

    @property
    def digest(self) -> str:
        """The digest's word, `sha256` or the like."""
        return self.scheme.digest.name


def prepare_signer(identity: SigningIdentity, profile: Profile) -> Signer:
    """The signer of this identity. Raises SmimeError, with the reason, for one that cannot sign under the profile."""
    who = party(identity.certificate)
    if who.key is None:
        raise SmimeError("the certificate's key is of a kind that is not known here")
    if not who.may("digital_signature", "content_commitment"):
        raise SmimeError("the certificate is not for signing (its key usage)")
    _check_pair(who, identity.key)
    scheme = scheme_for(who, identity.key, profile)
    attributes = [_CONTENT_TYPE, _CAPABILITIES, _signing_certificate(who)]
    if profile.post_quantum:  # RFC 9882 §4, against exchanged algorithms (RFC 6211)
        protected = der.sequence(scheme.digest_algorithm, der.element(0xA1, _body(scheme.signature_algorithm)))
        attributes.append(der.sequence(der.oid(ALGORITHM_PROTECTION), der.set_of([protected])))
    certificates = _included(identity, profile.include_chain)
    return Signer(
        scheme=scheme,
        certificates=certificates,
        head=_VERSION_1 + who.issuer_and_serial + scheme.digest_algorithm,
        attributes=tuple(attributes),
        digested=_before_digest(scheme.digest.hash.digest_size),
        before=_VERSION_1 + der.set_of([scheme.digest_algorithm]),
        bag=_bag(set(certificates)),
    )


def signed_data(signers: Sequence[Signer], content: bytes | Pieces, *, detached: bool, signing_time: float) -> bytes:
    """A ContentInfo with the content signed by all signers; the content is inside unless it is `detached`.

    The content is what travels, to the octet: the MIME entity with CRLF line ends, in one piece or in several.
    """
    pieces = (content,) if isinstance(content, bytes) else content
    if not signers:
        raise SmimeError("nobody signs")
    if len(signers) == 1:
        only = signers[0]
        info = _signer_info(only, only.scheme.digest.of(*pieces), signing_time)
        before, certificates, infos = only.before, only.bag, [info]
    else:
        functions = {signer.digest: signer.scheme.digest for signer in signers}
        digests = {name: function.of(*pieces) for name, function in functions.items()}
        infos = [_signer_info(signer, digests[signer.digest], signing_time) for signer in signers]
        before = _VERSION_1 + der.set_of({signer.scheme.digest_algorithm for signer in signers})
        certificates = _bag({certificate for signer in signers for certificate in signer.certificates})
    return _content_info(before, None if detached else pieces, certificates + der.set_of(infos))


def _bag(certificates: Iterable[bytes]) -> bytes:
    """CertificateSet (RFC 5652 §10.2.3), nothing where there are none."""
    ordered = sorted(certificates)
    return der.explicit(0, *ordered) if ordered else b""


_SIGNED_DATA, _DATA = der.oid(SIGNED_DATA), der.oid(DATA)


def _content_info(before: bytes, content: Pieces | None, behind: bytes) -> bytes:
    """Around a content that may be large, and is copied once."""
    if content is None:
        return _head(before, None, len(behind)) + behind
    return b"".join((_head(before, sum(map(len, content)), len(behind)), *content, behind))


@lru_cache(64)  # detached signatures of one signer are, but for those on elliptic curves, of one length
def _head(before: bytes, size: int | None, behind: int) -> bytes:
    """All that stands before a content of this size. From the inside out."""
    rest = size or 0
    # eContent: an octet string in an explicit [0]
    inner = b"" if size is None else der.begun(0xA0, der.begun(0x04, b"", rest), rest)
    inner = der.begun(0x30, _DATA + inner, rest)
    rest += behind
    body = der.begun(0x30, before + inner, rest)
    return der.begun(0x30, _SIGNED_DATA + der.begun(0xA0, body, rest), rest)


def _signer_info(signer: Signer, digest: bytes, signing_time: float) -> bytes:
    scheme = signer.scheme
    attributes = der.set_of((*signer.attributes, signer.digested + digest, _time(int(signing_time))))
    try:
        signature = scheme.sign(attributes)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SmimeError(f"the key does not sign: {error}") from error
    tagged = (b"\xa0", attributes[1:])  # RFC 5652 §5.4: signed as a SET OF, written as [0]
    begin = der.header(0x04, len(signature))
    return der.sequence(signer.head, *tagged, scheme.signature_algorithm, begin, signature)


def _before_digest(size: int) -> bytes:
    """The attribute messageDigest (RFC 5652 §11.2) as far as it is always the same."""
    return der.begun(0x30, _MESSAGE_DIGEST + der.begun(0x31, der.header(0x04, size), size), size)


@lru_cache(16)  # many messages have the same second
def _time(when: int) -> bytes:
    """The attribute signingTime: UTCTime, and GeneralizedTime from 2050 on (RFC 5652 §11.3)."""
    moment = time.gmtime(when)
    if 0 <= when < _2050:
        value = der.element(0x17, time.strftime("%y%m%d%H%M%SZ", moment).encode())
    else:
        value = der.element(0x18, time.strftime("%Y%m%d%H%M%SZ", moment).encode())
    return der.sequence(_SIGNING_TIME, der.element(0x31, value))


def _signing_certificate(who: Party) -> bytes:
    """SigningCertificateV2 (RFC 5035 §3): SHA-256 of the certificate is the default, and left out."""
    serial = der.integer(who.serial)
    name = der.sequence(der.element(0xA4, who.issuer))  # GeneralNames with one directoryName
    identifier = der.sequence(der.octet_string(hashlib.sha256(who.der).digest()), der.sequence(name, serial))
    value = der.sequence(der.sequence(identifier))
    return der.sequence(der.oid(SIGNING_CERTIFICATE_V2), der.set_of([value]))


def _included(identity: SigningIdentity, include: str) -> tuple[bytes, ...]:
    if include == "none":
        return ()
    chain = () if include == "leaf" else identity.chain
    if include == "chain":  # without the root, which whoever trusts it has
        chain = tuple(each for each in chain if not _self_issued(each))
    return (identity.certificate, *chain)


def _self_issued(certificate: bytes) -> bool:
    who = party(certificate)
    return who.subject == who.issuer


def _check_pair(who: Party, key: Any) -> None:
    try:
        fits = key.public_key() == who.key
    except (AttributeError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SmimeError(f"the private key cannot be used: {error}") from error
    if not fits:
        raise SmimeError("the private key is not that of the certificate")


def _body(sequence: bytes) -> bytes:
    """The content of a short or long DER element."""
    return sequence[2 + (sequence[1] & 0x7F if sequence[1] & 0x80 else 0) :]
