"""Private keys in a token (PKCS #11): an HSM, a smart card, SoftHSM. They sign and decrypt there and never leave it.

A key is named by a URI (RFC 7512): `pkcs11:token=mta;object=office`, with `id=%01` beside or instead of `object`. The
proxies have the methods of the private keys of `cryptography` that S/MIME and DKIM use, so nobody else need know.
Behind them is a process of its own (token_pool/): a token that hangs holds no thread of ours for good; its process is
ended, the token rests for a while, and each wish meanwhile fails at once.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any, NoReturn, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric import utils as asymmetric_utils
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from mta.adapters.token_pool.blocking import BlockingPool
from mta.adapters.token_pool.member import MemberSettings
from mta.adapters.token_pool.names import KeyName, parse_uri
from mta.adapters.token_pool.pool import PoolSettings, TokenRefused, Wish
from mta.errors import MtaError

PATIENCE = 20.0  # seconds that one use of a token may take

# RFC 8017 §9.2 note 1: DigestInfo up to the digest
_DIGEST_INFO = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}


class Tokens:
    """The tokens that a PKCS #11 module reaches. `pin` opens them. One object a process and module.

    `patience`: seconds that one use may take, and as long may it wait for another to end.
    """

    def __init__(self, module: str, pin: str, patience: float = PATIENCE, pool: BlockingPool | None = None) -> None:
        settings = PoolSettings(MemberSettings(module, pin), processes=1, patience=patience)
        self._pool = pool or BlockingPool(settings)

    def key(self, uri: str, public: Any = None) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
        """The private key of this URI. Raises MtaError if it is not there or of a kind that is not known.

        Where its `public` half is known the token is not asked before the key is used, and must have that one then.
        """
        name = parse_uri(uri)
        public_key = self._public(name) if public is None else public
        if isinstance(public_key, rsa.RSAPublicKey):
            return TokenRsaKey(self, name, public_key)
        if isinstance(public_key, ec.EllipticCurvePublicKey):
            return TokenEcKey(self, name, public_key)
        raise MtaError(f"{uri}: the certificate is for a key of a kind that no token holds here")

    def _public(self, name: KeyName) -> Any:
        answer = self._pool.do(Wish("public", name))
        return load_der_public_key(bytes.fromhex(answer["spki"]))

    def use(self, name: KeyName, work: str, public: Any, **more: Any) -> bytes:
        """Do something (token_pool/work.py) with a key, whose public half is `public`.

        Raises MtaError, also for a token that does not answer: at once while it rests.
        """
        return bytes.fromhex(self._pool.do(Wish(work, name, public=_digest_of(public), more=more)))

    def close(self) -> None:
        """End the process."""
        self._pool.close()


@lru_cache(8)
def tokens(module: str, pin: str) -> Tokens:
    """The tokens of a module; one object a process, whatever is reloaded: a refused PIN stays refused."""
    return Tokens(module, pin)


class _TokenKey:
    """What both kinds share: the public half is here, the private one is not."""

    in_token = True  # using it may take as long as the token likes

    def __init__(self, tokens: Tokens, name: KeyName, public: Any) -> None:
        self._tokens, self._name, self._public = tokens, name, public

    @property
    def key_size(self) -> int:
        return int(self._public.key_size)

    def public_key(self) -> Any:
        return self._public

    def private_numbers(self) -> NoReturn:
        raise MtaError("a token's key stays in the token")

    def private_bytes(self, *_: Any) -> NoReturn:
        raise MtaError("a token's key stays in the token")

    def _use(self, work: str, data: bytes, **more: Any) -> bytes:
        return self._tokens.use(self._name, work, self._public, data=data.hex(), **more)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self


class TokenRsaKey(_TokenKey, rsa.RSAPrivateKey):
    """An RSA key of a token, as `cryptography` has them: PKCS #1 v1.5, PSS and OAEP."""

    def sign(self, data: Any, padding_: Any, algorithm: Any) -> bytes:  # noqa: D102 - as its base
        digest, hashed = _digest(bytes(data), algorithm)
        if isinstance(padding_, padding.PSS):
            return self._use("sign", digest, hash=hashed)
        return self._use("sign", _DIGEST_INFO[hashed] + digest, hash="")

    def decrypt(self, ciphertext: Any, padding_: Any) -> bytes:  # noqa: D102 - as its base
        hashed = padding_.algorithm.name if isinstance(padding_, padding.OAEP) else ""
        try:
            return self._use("decrypt", bytes(ciphertext), hash=hashed)
        except TokenRefused as error:  # tokens have many words for a ciphertext that is not theirs
            raise ValueError("Decryption failed") from error


class TokenEcKey(_TokenKey, ec.EllipticCurvePrivateKey):
    """An elliptic curve key of a token: ECDSA and ECDH."""

    def sign(self, data: Any, signature_algorithm: Any) -> bytes:  # noqa: D102 - as its base
        digest, _ = _digest(bytes(data), signature_algorithm.algorithm)
        size = (self.key_size + 7) // 8
        raw = self._use("sign-ec", digest[:size])
        half = len(raw) // 2
        return asymmetric_utils.encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))

    def exchange(self, algorithm: Any, peer_public_key: Any) -> bytes:  # noqa: D102 - as its base
        numbers, size = peer_public_key.public_numbers(), (self.key_size + 7) // 8
        point = b"\x04" + numbers.x.to_bytes(size) + numbers.y.to_bytes(size)
        return self._use("agree", point, size=size)

    @property
    def curve(self) -> Any:  # noqa: D102 - as its base
        return self._public.curve


def _digest(data: bytes, algorithm: Any) -> tuple[bytes, str]:
    if isinstance(algorithm, asymmetric_utils.Prehashed):
        return data, str(algorithm._algorithm.name)  # it has no public name for it
    assert isinstance(algorithm, hashes.HashAlgorithm)
    return hashlib.new(algorithm.name, data).digest(), algorithm.name


def _digest_of(public: Any) -> str:
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
