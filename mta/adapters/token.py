"""Private keys in a token (PKCS #11): an HSM, a smart card, SoftHSM. They sign and decrypt there and never leave it.

A key is named by a URI (RFC 7512): `pkcs11:token=mta;object=office`, with `id=%01` beside or instead of `object`. The
proxies have the methods of the private keys of `cryptography` that S/MIME and DKIM use, so nobody else need know.
The library opens modules without locks of their own, so one thread alone is ever in there, and one session is enough;
it is opened anew where the token has forgotten it. Whoever wants something waits for that thread, but not for long: a
token that hangs is left alone until it answers, and each further wish fails at once.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn, Self, TypeVar
from urllib.parse import unquote_to_bytes

import pkcs11
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric import utils as asymmetric_utils
from cryptography.hazmat.primitives.serialization import load_der_public_key
from pkcs11 import KDF, MGF, Attribute, KeyType, Mechanism, ObjectClass
from pkcs11.exceptions import PinIncorrect, PinInvalid, PinLenRange, PinLocked, PKCS11Error, UserAlreadyLoggedIn
from pkcs11.util.ec import encode_ec_public_key
from pkcs11.util.rsa import encode_rsa_public_key

from mta.errors import MtaError
from mta.lane import Lane

T = TypeVar("T")
PATIENCE = 20.0  # seconds that one use of a token may take

# RFC 8017 §9.2 note 1: DigestInfo up to the digest
_DIGEST_INFO = {
    "sha256": bytes.fromhex("3031300d060960864801650304020105000420"),
    "sha384": bytes.fromhex("3041300d060960864801650304020205000430"),
    "sha512": bytes.fromhex("3051300d060960864801650304020305000440"),
}
_PSS = {
    "sha256": (Mechanism.SHA256, MGF.SHA256),
    "sha384": (Mechanism.SHA384, MGF.SHA384),
    "sha512": (Mechanism.SHA512, MGF.SHA512),
}
_OAEP = {"sha1": (Mechanism.SHA_1, MGF.SHA1), **_PSS}


class TokenRefused(MtaError):
    """The token answers, and will not do this with this key."""


@dataclass(frozen=True, slots=True)
class KeyName:
    """What a URI says of a key."""

    token: str
    label: str | None
    id: bytes | None

    def __str__(self) -> str:
        return self.label or f"%{(self.id or b'').hex()}"


def parse_uri(uri: str) -> KeyName:
    """The attributes of a `pkcs11:` URI that name a key (RFC 7512 §2.3). Raises MtaError."""
    known: dict[str, bytes] = {}
    for part in uri.removeprefix("pkcs11:").partition("?")[0].split(";"):
        name, equals, value = part.partition("=")
        if equals:
            known[name] = unquote_to_bytes(value)
    label, key_id = known.get("object"), known.get("id")
    if "token" not in known or (label is None and key_id is None):
        raise MtaError(f"{uri}: expected pkcs11:token=NAME;object=NAME (or id=%HEX)")
    return KeyName(known["token"].decode("utf-8", "replace"), label.decode() if label else None, key_id)


class Tokens:
    """The tokens that a PKCS #11 module reaches. `pin` opens them. One object a process and module.

    `patience`: seconds that one use may take.
    """

    def __init__(self, module: str, pin: str, patience: float = PATIENCE) -> None:
        self._module = module
        self._pin = pin
        self._patience = patience
        self._lane = Lane("token")
        self._sessions: dict[str, Any] = {}  # by token
        self._keys: dict[KeyName, Any] = {}
        self._known: dict[KeyName, Any] = {}  # public halves that were compared

    def key(self, uri: str, public: Any = None) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
        """The private key of this URI. Raises MtaError if it is not there or of a kind that is not known.

        Where its `public` half is known the token is not asked before the key is used, and must have that one then.
        """
        name = parse_uri(uri)
        found = self.use(name, _public_key) if public is None else public
        if isinstance(found, rsa.RSAPublicKey):
            return TokenRsaKey(self, name, found)
        if isinstance(found, ec.EllipticCurvePublicKey):
            return TokenEcKey(self, name, found)
        raise MtaError(f"{uri}: the certificate is for a key of a kind that no token holds here")

    def use(self, name: KeyName, work: Callable[[Any], T], public: Any = None) -> T:
        """Do something with a key, whose public half is `public`; once more where its session is no longer good.

        Raises MtaError, also for a token that does not answer: at once while it hangs.
        """
        self._refuse_while_hanging(name)
        future = self._lane.submit(lambda: self._use(name, self._checked(name, work, public)))
        try:
            return future.result(self._patience)
        except TimeoutError:
            future.cancel()
            raise MtaError(f"the token {name.token} does not answer within {self._patience:g} s") from None

    def _refuse_while_hanging(self, name: KeyName) -> None:
        hanging = self._lane.busy_for
        if hanging >= self._patience:
            raise MtaError(f"the token {name.token} does not answer: its module hangs since {hanging:.0f} s")

    def _checked(self, name: KeyName, work: Callable[[Any], T], public: Any) -> Callable[[Any], T]:
        """The work, behind a look whether the key is the one that the certificate is for; once is enough."""
        if public is None or self._known.get(name) == public:
            return work

        def checked(key: Any) -> T:
            if _public_key(key) != public:
                raise MtaError(f"the key {name} of the token {name.token} is another than that of the certificate")
            self._known[name] = public
            return work(key)

        return checked

    def _use(self, name: KeyName, work: Callable[[Any], T]) -> T:
        try:
            return work(self._found(name))
        except (PKCS11Error, AttributeError):
            self._keys.clear()
            self._sessions.clear()
            self._known.clear()
        try:
            key = self._found(name)
        except PKCS11Error as error:
            raise MtaError(f"the token {name.token} does not answer: {_words(error)}") from error
        try:
            return work(key)
        except AttributeError as error:  # the library gives a key only the methods that the token permits
            raise TokenRefused(f"the token {name.token} does not let {name} do this") from error
        except PKCS11Error as error:
            raise TokenRefused(f"the token {name.token} refuses: {_words(error)}") from error

    def _found(self, name: KeyName) -> Any:
        if name not in self._keys:
            wanted = {"label": name.label, "id": name.id}
            given = {key: value for key, value in wanted.items() if value is not None}
            try:
                self._keys[name] = self._session(name.token).get_key(object_class=ObjectClass.PRIVATE_KEY, **given)
            except (pkcs11.NoSuchKey, pkcs11.MultipleObjectsReturned) as error:
                raise MtaError(f"the token {name.token} has no one key called {name}") from error
        return self._keys[name]

    def _session(self, token: str) -> Any:
        if token not in self._sessions:
            try:
                library = pkcs11.lib(self._module)
                _keep_for_ever(library, self)
                found = library.get_token(token_label=token)
            except (pkcs11.NoSuchToken, RuntimeError) as error:
                raise MtaError(f"the module {self._module} reaches no token {token}: {_words(error)}") from error
            self._sessions[token] = self._open(found)
        return self._sessions[token]

    def _open(self, token: Any) -> Any:
        """A login holds for the whole process; a further session of the token is open already."""
        try:
            return token.open(user_pin=self._pin)
        except UserAlreadyLoggedIn:
            return token.open()
        except (PinIncorrect, PinInvalid, PinLenRange, PinLocked) as error:  # no second try: it would lock the token
            raise MtaError(f"the token {token.label} refuses the PIN of pin_file: {_words(error)}") from error


@lru_cache(8)
def tokens(module: str, pin: str) -> Tokens:
    """The tokens of a module; one object a process, whatever is reloaded: a login holds for the process."""
    return Tokens(module, pin)


def _keep_for_ever(*objects: Any) -> None:
    """The exit must not wait for a module that hangs, and what the interpreter takes apart would ask it once more."""
    for each in objects:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))


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

    def _use(self, work: Callable[[Any], Any]) -> bytes:
        return bytes(self._tokens.use(self._name, work, self._public))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self


class TokenRsaKey(_TokenKey, rsa.RSAPrivateKey):
    """An RSA key of a token, as `cryptography` has them: PKCS #1 v1.5, PSS and OAEP."""

    def sign(self, data: Any, padding_: Any, algorithm: Any) -> bytes:  # noqa: D102 - as its base
        digest, hashed = _digest(bytes(data), algorithm)
        if isinstance(padding_, padding.PSS):
            kind, mask = _PSS[hashed]
            parameters = (kind, mask, len(digest))
            return self._use(lambda key: key.sign(digest, mechanism=Mechanism.RSA_PKCS_PSS, mechanism_param=parameters))
        given = _DIGEST_INFO[hashed] + digest
        return self._use(lambda key: key.sign(given, mechanism=Mechanism.RSA_PKCS))

    def decrypt(self, ciphertext: Any, padding_: Any) -> bytes:  # noqa: D102 - as its base
        given = bytes(ciphertext)
        try:
            if isinstance(padding_, padding.OAEP):
                parameters = (*_OAEP[padding_.algorithm.name], None)
                mechanism = Mechanism.RSA_PKCS_OAEP
                return self._use(lambda key: key.decrypt(given, mechanism=mechanism, mechanism_param=parameters))
            return self._use(lambda key: key.decrypt(given, mechanism=Mechanism.RSA_PKCS))
        except TokenRefused as error:  # tokens have many words for a ciphertext that is not theirs
            raise ValueError("Decryption failed") from error


class TokenEcKey(_TokenKey, ec.EllipticCurvePrivateKey):
    """An elliptic curve key of a token: ECDSA and ECDH."""

    def sign(self, data: Any, signature_algorithm: Any) -> bytes:  # noqa: D102 - as its base
        digest, _ = _digest(bytes(data), signature_algorithm.algorithm)
        size = (self.key_size + 7) // 8
        raw = bytes(self._use(lambda key: key.sign(digest[:size], mechanism=Mechanism.ECDSA)))
        half = len(raw) // 2
        return asymmetric_utils.encode_dss_signature(int.from_bytes(raw[:half]), int.from_bytes(raw[half:]))

    def exchange(self, algorithm: Any, peer_public_key: Any) -> bytes:  # noqa: D102 - as its base
        numbers, size = peer_public_key.public_numbers(), (self.key_size + 7) // 8
        point = b"\x04" + numbers.x.to_bytes(size) + numbers.y.to_bytes(size)
        template = {Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True}

        def derive(key: Any) -> bytes:
            secret = key.derive_key(
                KeyType.GENERIC_SECRET,
                size * 8,
                mechanism=Mechanism.ECDH1_DERIVE,
                mechanism_param=(KDF.NULL, None, point),
                template=template,
            )
            return bytes(secret[Attribute.VALUE])

        return self._use(derive)

    @property
    def curve(self) -> Any:  # noqa: D102 - as its base
        return self._public.curve


def _public_key(key: Any) -> Any:
    """The public half, from the public object beside the private one, or from the private one of an RSA key."""
    if key.key_type == KeyType.RSA:
        return load_der_public_key(encode_rsa_public_key(key))
    if key.key_type != KeyType.EC:
        raise MtaError(f"a token's key of type {key.key_type} is not known here")
    found = key.session.get_key(object_class=ObjectClass.PUBLIC_KEY, label=key.label, id=key.id)
    return load_der_public_key(encode_ec_public_key(found))


def _digest(data: bytes, algorithm: Any) -> tuple[bytes, str]:
    if isinstance(algorithm, asymmetric_utils.Prehashed):
        return data, str(algorithm._algorithm.name)  # it has no public name for it
    assert isinstance(algorithm, hashes.HashAlgorithm)
    return hashlib.new(algorithm.name, data).digest(), algorithm.name


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
