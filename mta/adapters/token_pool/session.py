"""Inside a token process: the module, its logins, the keys that were found."""

from __future__ import annotations

import contextlib
import hashlib
import time
from typing import Any

import pkcs11
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from pkcs11 import KeyType, ObjectClass
from pkcs11.exceptions import (
    PinExpired,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PinLocked,
    PKCS11Error,
    UserAlreadyLoggedIn,
)
from pkcs11.util.ec import encode_ec_public_key
from pkcs11.util.rsa import encode_rsa_public_key

from mta.adapters.token_pool.names import KeyName
from mta.adapters.token_pool.wire import Fault

_PAUSES = (0.05, 0.2)  # seconds before a token that is not seen is looked for again
_WRONG_PIN = (PinIncorrect, PinInvalid, PinLenRange, PinLocked, PinExpired)


class Trouble(Exception):
    """What is not done, by the word that the parent understands."""

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(text)
        self.fault = fault


class Module:
    """A PKCS #11 module with at most one session a token. `writes`: keys are made and removed here."""

    def __init__(self, path: str, pin: str, *, writes: bool = False) -> None:
        self._path, self._pin, self._writes = path, pin, writes
        self._sessions: dict[str, Any] = {}
        self._keys: dict[KeyName, tuple[Any, str]] = {}

    def login(self, token: str) -> None:
        """A session of the token, a fresh one where there was one. Raises Trouble."""
        self.forget(token)
        slot = self._token(token)
        try:
            self._sessions[token] = self._open(slot)
        except _WRONG_PIN as error:
            text = f"the token {token} refuses the PIN of pin_file: {words(error)}"
            raise Trouble(Fault.PIN, text) from error
        except PKCS11Error as error:
            raise Trouble(Fault.AWAY, f"the token {token} does not answer: {words(error)}") from error

    def _token(self, token: str) -> Any:
        for pause in (*_PAUSES, None):
            try:
                return pkcs11.lib(self._path).get_token(token_label=token)
            except pkcs11.MultipleTokensReturned as error:
                text = f"the module {self._path} has several tokens called {token}"
                raise Trouble(Fault.MISSING, text) from error
            except (PKCS11Error, RuntimeError) as error:  # the latter: there is no such module
                if pause is None or self._sessions or not isinstance(error, pkcs11.NoSuchToken):
                    text = f"the module {self._path} reaches no token {token}: {words(error)}"
                    raise Trouble(Fault.AWAY, text) from error
            # SoftHSM sees no token in the instant in which another process logs in to it
            time.sleep(pause)
            pkcs11.lib(self._path).reinitialize()
        raise AssertionError("not reached")

    def _open(self, token: Any) -> Any:
        try:
            return token.open(user_pin=self._pin, rw=self._writes)
        except UserAlreadyLoggedIn:  # a session that could not be closed
            return token.open(rw=self._writes)

    def forget(self, token: str) -> None:
        """Let go of a token's session and of all keys found by it."""
        self._keys = {name: handle for name, handle in self._keys.items() if name.token != token}
        session = self._sessions.pop(token, None)
        if session is not None:
            with contextlib.suppress(PKCS11Error):
                session.close()

    def session(self, token: str) -> Any:
        """The session of a token. Raises Trouble."""
        if token not in self._sessions:
            raise Trouble(Fault.LOST, f"nobody is logged in to the token {token}")
        return self._sessions[token]

    def key(self, name: KeyName, public: str = "") -> Any:
        """The private key of this name, whose public half has this SHA-256. Raises Trouble."""
        if name not in self._keys:
            handle = find(self.session(name.token), name)
            self._keys[name] = handle, hashlib.sha256(spki(handle)).hexdigest()
        key, digest = self._keys[name]
        if public and digest != public:
            text = f"the key {name} of the token {name.token} is another than the one that is meant"
            raise Trouble(Fault.OTHER, text)
        return key


def find(session: Any, name: KeyName) -> Any:
    """The one private key of this name. Raises Trouble."""
    try:
        return session.get_key(object_class=ObjectClass.PRIVATE_KEY, **named(name))
    except (pkcs11.NoSuchKey, pkcs11.MultipleObjectsReturned) as error:
        raise Trouble(Fault.MISSING, f"the token {name.token} has no one key called {name}") from error


def named(name: KeyName) -> dict[str, Any]:
    """The attributes that a name gives, as the library takes them."""
    wanted = {"label": name.label, "id": name.id}
    return {key: value for key, value in wanted.items() if value is not None}


def spki(key: Any) -> bytes:
    """The public half of a private key, DER: out of an RSA key itself, else of the public object beside it."""
    if key.key_type == KeyType.RSA:
        der = encode_rsa_public_key(key)
    elif key.key_type == KeyType.EC:
        beside = key.session.get_key(object_class=ObjectClass.PUBLIC_KEY, label=key.label, id=key.id)
        der = encode_ec_public_key(beside)
    else:
        raise Trouble(Fault.UNFIT, f"a token's key of type {key.key_type} is not known here")
    return load_der_public_key(der).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def words(error: Exception) -> str:
    """What an exception of the library says; many say nothing but their name."""
    return str(error) or type(error).__name__
