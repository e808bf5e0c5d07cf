"""Signature schemes: how a key signs, and whether a signature is right. One place for both directions.

RSA PKCS #1 v1.5 (RFC 3370, RFC 5754), RSASSA-PSS (RFC 4056), ECDSA (RFC 5753 §2.1), Ed25519 (RFC 8419) and ML-DSA
(RFC 9882).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa

from mta.errors import SmimeError
from mta.model.smime import SignatureStatus
from mta.rfc.smime import der
from mta.rfc.smime.algorithms import (
    DIGEST_OF,
    DIGESTS,
    ECDSA_WITH,
    ED25519,
    MGF1,
    ML_DSA,
    OAEP,
    RSA,
    RSA_PSS,
    RSA_WITH,
    WEAK,
    Algorithm,
    Digest,
    hash_oid,
    mask_oid,
)
from mta.rfc.smime.ber import SEQUENCE, read
from mta.rfc.smime.party import Party
from mta.rfc.smime.profile import Profile

LARGEST_RSA = 16_384  # bits; beyond, one signature would cost seconds
_ML_DSA_KEYS: tuple[tuple[type[Any], str, str], ...] = (  # identifier, the weakest digest beside it (RFC 9882 §3.3)
    (mldsa.MLDSA44PublicKey, "2.16.840.1.101.3.4.3.17", "sha256"),
    (mldsa.MLDSA65PublicKey, "2.16.840.1.101.3.4.3.18", "sha384"),
    (mldsa.MLDSA87PublicKey, "2.16.840.1.101.3.4.3.19", "sha512"),
)


class Verdict(Exception):
    """The end of a judgement: a status that is not GOOD, and why."""

    def __init__(self, status: SignatureStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Scheme:
    """How a prepared key signs: the digest of the content, both AlgorithmIdentifiers (DER), the operation."""

    name: str
    digest: Digest
    digest_algorithm: bytes
    signature_algorithm: bytes
    sign: Callable[[bytes], bytes]


def scheme_for(who: Party, private_key: Any, profile: Profile) -> Scheme:
    """How this key signs under the profile. Raises SmimeError for keys that cannot, or must not."""
    public_key = who.key
    who.check_curve()
    if who.key_algorithm.oid == OAEP:  # RFC 4055 §1.2
        raise SmimeError("the certificate's key is for encryption only")
    if isinstance(public_key, rsa.RSAPublicKey):
        bound = who.key_algorithm.oid == RSA_PSS  # RFC 4055 §1.2: such a key signs with PSS only
        return _rsa_scheme(public_key, private_key, replace(profile, rsa_signature="pss") if bound else profile)
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        digest = _raised(profile.digest, _curve_digest(public_key.curve))
        algorithm = ec.ECDSA(digest.hash)
        identifier = der.algorithm(next(oid for oid, name in ECDSA_WITH.items() if name == digest.name))
        return _scheme(f"ecdsa-{digest.name}", digest, identifier, lambda data: private_key.sign(data, algorithm))
    if isinstance(public_key, ed25519.Ed25519PublicKey):  # RFC 8419 §3: SHA-512 beside signed attributes
        return _scheme("ed25519", DIGESTS["sha512"], der.algorithm(ED25519), private_key.sign)
    for kind, oid, least in _ML_DSA_KEYS:
        if isinstance(public_key, kind):
            if not profile.post_quantum:
                raise SmimeError("a key of ML-DSA signs under a profile for post-quantum algorithms only")
            digest = _raised(profile.digest, least)
            return _scheme(ML_DSA[oid], digest, der.algorithm(oid), private_key.sign)
    raise SmimeError("a key of this kind cannot sign mail")


def _rsa_scheme(public_key: rsa.RSAPublicKey, private_key: Any, profile: Profile) -> Scheme:
    if public_key.key_size < profile.minimum_rsa_bits:
        raise SmimeError(f"an RSA key of {public_key.key_size} bits, where {profile.minimum_rsa_bits} are the least")
    digest = DIGESTS[profile.digest]
    hashed, scheme = digest.hash, padding.PKCS1v15()
    if profile.rsa_signature == "pkcs1":  # RFC 3370 §3.2: rsaEncryption, which every reader knows
        name, identifier = f"rsa-pkcs1-{digest.name}", der.algorithm(RSA, der.NULL)
        return _scheme(name, digest, identifier, lambda data: private_key.sign(data, scheme, hashed))
    salted = padding.PSS(padding.MGF1(hashed), hashed.digest_size)
    name, identifier = f"rsassa-pss-{digest.name}", der.algorithm(RSA_PSS, _pss_parameters(digest))
    return _scheme(name, digest, identifier, lambda data: private_key.sign(data, salted, hashed))


def _scheme(name: str, digest: Digest, signature: bytes, sign: Callable[[bytes], bytes]) -> Scheme:
    return Scheme(name, digest, der.algorithm(digest.oid), signature, sign)  # RFC 5754 §2: no parameters


def _pss_parameters(digest: Digest) -> bytes:
    """RSASSA-PSS-params (RFC 4055 §3.1), the salt as long as the digest; trailerField is the default."""
    hashed = der.algorithm(digest.oid, der.NULL)
    mask, salt = der.algorithm(MGF1, hashed), der.integer(digest.hash.digest_size)
    return der.sequence(der.explicit(0, hashed), der.explicit(1, mask), der.explicit(2, salt))


def _curve_digest(curve: ec.EllipticCurve) -> str:
    return "sha256" if curve.key_size <= 256 else "sha384" if curve.key_size <= 384 else "sha512"


def _raised(digest: str, least: str) -> Digest:
    return max(DIGESTS[digest], DIGESTS[least], key=lambda algorithm: algorithm.hash.digest_size)


# --- reading -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Claim:
    """What a signer claims: this signature over `signed`, made with these algorithms."""

    algorithm: Algorithm
    digest_algorithm: Algorithm
    signature: bytes
    signed: bytes | memoryview


def digest_named(algorithm: Algorithm) -> Digest:
    """The digest of a signer. Raises Verdict for what is too weak or not known."""
    if algorithm.oid in WEAK:
        raise Verdict(SignatureStatus.REFUSED, f"{algorithm.name} is too weak a digest")
    if algorithm.oid not in DIGEST_OF:
        raise Verdict(SignatureStatus.UNSUPPORTED, f"the digest {algorithm.oid} is not known here")
    if not algorithm.bare:
        raise Verdict(SignatureStatus.MALFORMED, "a digest with parameters")
    return DIGEST_OF[algorithm.oid]


def scheme_name(algorithm: Algorithm, digest: Digest) -> str:
    """The scheme's word, for people and for a contract's rules."""
    if algorithm.oid == RSA or algorithm.oid in RSA_WITH:
        return f"rsa-pkcs1-{digest.name}"
    if algorithm.oid == RSA_PSS:
        return f"rsassa-pss-{digest.name}"
    if algorithm.oid in ECDSA_WITH:
        return f"ecdsa-{digest.name}"
    return "ed25519" if algorithm.oid == ED25519 else ML_DSA.get(algorithm.oid, algorithm.name)


def check(signer: Party, claim: Claim, minimum_rsa_bits: int) -> None:
    """Judges the mathematics of one signature. Returns if it is good, and raises Verdict if it is not."""
    _check_strength(signer, claim.algorithm, minimum_rsa_bits)
    digest = digest_named(claim.digest_algorithm)
    try:
        arguments = _arguments(signer, claim.algorithm, digest)
        signer.key.verify(claim.signature, claim.signed, *arguments)
    except InvalidSignature:
        raise Verdict(SignatureStatus.BAD, "the signature is wrong") from None
    except (UnsupportedAlgorithm, ValueError, TypeError, OverflowError) as error:
        raise Verdict(SignatureStatus.UNSUPPORTED, f"the signature cannot be checked: {error}") from error


def _check_strength(signer: Party, algorithm: Algorithm, minimum_rsa_bits: int) -> None:
    for each in (algorithm, signer.key_algorithm):
        if each.oid in WEAK:
            raise Verdict(SignatureStatus.REFUSED, f"{each.name} is too weak to sign with")
    if signer.key is None:
        raise Verdict(SignatureStatus.UNSUPPORTED, "the signer's key is of a kind that is not known here")
    if isinstance(signer.key, rsa.RSAPublicKey):
        bits = signer.key.key_size
        if bits < minimum_rsa_bits:
            raise Verdict(SignatureStatus.REFUSED, f"an RSA key of {bits} bits is too weak ({minimum_rsa_bits} needed)")
        if bits > LARGEST_RSA:
            raise Verdict(SignatureStatus.REFUSED, f"an RSA key of {bits} bits costs too much to check")
    try:
        signer.check_curve()
    except SmimeError as error:
        raise Verdict(SignatureStatus.REFUSED, str(error)) from error


def _arguments(signer: Party, algorithm: Algorithm, digest: Digest) -> tuple[object, ...]:
    """What `key.verify` needs behind signature and data. Raises Verdict where algorithm and key do not fit."""
    key, oid, bare = signer.key, algorithm.oid, algorithm.bare
    if signer.key_algorithm.oid == OAEP:
        raise Verdict(SignatureStatus.MALFORMED, "the signer's key is for encryption only")
    if isinstance(key, rsa.RSAPublicKey):
        if oid == RSA_PSS:
            return _pss_arguments(algorithm, digest)
        if bare and signer.key_algorithm.oid != RSA_PSS and (oid == RSA or _same(RSA_WITH.get(oid), digest)):
            return padding.PKCS1v15(), digest.hash
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if bare and _same(ECDSA_WITH.get(oid), digest):
            return (ec.ECDSA(digest.hash),)
    elif isinstance(key, ed25519.Ed25519PublicKey):
        if oid == ED25519 and not algorithm.parameters:
            return ()
    elif (
        any(isinstance(key, kind) and oid == identifier for kind, identifier, _ in _ML_DSA_KEYS)
        and not algorithm.parameters
    ):
        return ()
    is_supported = oid in (RSA, RSA_PSS, ED25519) or any(oid in table for table in (RSA_WITH, ECDSA_WITH, ML_DSA))
    if not is_supported:
        raise Verdict(SignatureStatus.UNSUPPORTED, f"the signature algorithm {oid} is not known here")
    raise Verdict(SignatureStatus.MALFORMED, "the signature's algorithm does not fit the signer's key")


def _same(named: str | None, digest: Digest) -> bool:
    if named is not None and named != digest.name:
        raise Verdict(SignatureStatus.MALFORMED, f"signed with {named}, but {digest.name} stands beside it")
    return named is not None


def _pss_arguments(algorithm: Algorithm, digest: Digest) -> tuple[object, ...]:
    """RFC 4056 §3: the hash of the parameters is that of the signer; the mask's may be another, but no weak one."""
    try:
        hashed, masked, salt = _read_pss(algorithm.parameters)
    except SmimeError as error:
        raise Verdict(SignatureStatus.MALFORMED, f"parameters of PSS that cannot be read: {error}") from error
    if hashed in WEAK or masked in WEAK:
        raise Verdict(SignatureStatus.REFUSED, "PSS with a weak hash")
    if masked not in DIGEST_OF or not 0 <= salt <= 1024:
        raise Verdict(SignatureStatus.UNSUPPORTED, "parameters of PSS that are not known here")
    if hashed != digest.oid:
        raise Verdict(SignatureStatus.MALFORMED, f"PSS with another hash than the {digest.name} beside it")
    return padding.PSS(padding.MGF1(DIGEST_OF[masked].hash), salt), digest.hash


def _read_pss(parameters: bytes) -> tuple[str, str, int]:
    """Hash, hash of the mask, and length of the salt (RFC 4055 §3.1), with their defaults."""
    hashed, mask, salt, trailer = read(parameters, SEQUENCE).fields(0xA0, 0xA1, 0xA2, 0xA3)
    if trailer and trailer.parts(1)[0].integer() != 1:
        raise SmimeError("a trailer of its own")
    return hash_oid(hashed), mask_oid(mask), salt.parts(1)[0].integer() if salt else 20
