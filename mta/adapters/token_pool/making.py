"""Inside a token process: root keys that are made in a token, brought into it (BYOK) and removed.

A root key opens and does nothing else, and does not leave the token.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_der_public_key,
)
from pkcs11 import MGF, Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.constants import DEFAULT
from pkcs11.exceptions import PKCS11Error

from mta.adapters.token_pool.names import KeyName
from mta.adapters.token_pool.session import Trouble, find, named, spki, words
from mta.adapters.token_pool.wire import Fault
from mta.adapters.token_pool.work import facts

_KEPT = {
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.DECRYPT: True,
    Attribute.SIGN: False,
    Attribute.UNWRAP: False,
    Attribute.DERIVE: False,
}
_PUBLIC = {Attribute.TOKEN: True, Attribute.ENCRYPT: True, Attribute.VERIFY: False, Attribute.WRAP: False}
_OAEP_SHA1 = (Mechanism.SHA_1, MGF.SHA1, None)  # the one that every token has


def generate(session: Any, name: KeyName, asked: dict[str, Any]) -> dict[str, Any]:
    """A new RSA key of `bits` bits. Raises Trouble."""
    _must_be_free(session, name)
    uses = MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT
    words_ = {"id": name.id or os.urandom(8), "label": name.label, "store": True, "capabilities": uses}
    pair = session.generate_keypair(KeyType.RSA, asked["bits"], private_template=_KEPT, **words_)
    return _fit(pair)


def bring(session: Any, name: KeyName, asked: dict[str, Any]) -> dict[str, Any]:
    """The RSA key in `data` (PKCS #8, DER) into the token: wrapped where the token can unwrap. Raises Trouble."""
    _must_be_free(session, name)
    key = load_der_private_key(bytes.fromhex(asked["data"]), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    names = {Attribute.ID: name.id or os.urandom(8), **({Attribute.LABEL: name.label} if name.label else {})}
    try:
        private = _unwrapped(session, key, names)
    except (PKCS11Error, AttributeError):  # it has not all that this takes
        private = _created(session, key, names)
    public = key.public_key().public_numbers()
    numbers = {Attribute.MODULUS: _octets(public.n), Attribute.PUBLIC_EXPONENT: _octets(public.e)}
    kind = {Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.KEY_TYPE: KeyType.RSA}
    try:
        beside = session.create_object({**kind, **_PUBLIC, **names, **numbers})
    except PKCS11Error:
        _destroy(private)
        raise
    return _fit((beside, private))


def _unwrapped(session: Any, key: rsa.RSAPrivateKey, names: dict[Any, Any]) -> Any:
    """Wrapped (RFC 5649) by a key that goes to the token under a pair made there for it: never in clear on the way."""
    uses = MechanismFlag.WRAP | MechanismFlag.UNWRAP
    public, private = session.generate_keypair(KeyType.RSA, 2048, store=False, capabilities=uses)
    beside = load_der_public_key(spki(private))
    assert isinstance(beside, rsa.RSAPublicKey)
    over = os.urandom(32)
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303
    carrier = private.unwrap_key(
        ObjectClass.SECRET_KEY,
        KeyType.AES,
        beside.encrypt(over, oaep),
        mechanism=Mechanism.RSA_PKCS_OAEP,
        mechanism_param=_OAEP_SHA1,
        capabilities=MechanismFlag.UNWRAP,
    )
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    none = dict.fromkeys((Attribute.ENCRYPT, Attribute.WRAP, Attribute.VERIFY), DEFAULT)  # of no private key
    made = carrier.unwrap_key(
        ObjectClass.PRIVATE_KEY,
        KeyType.RSA,
        keywrap.aes_key_wrap_with_padding(over, pkcs8),
        mechanism=Mechanism.AES_KEY_WRAP_PAD,
        store=True,
        capabilities=MechanismFlag.DECRYPT,
        template={**none, **_KEPT, **names},
    )
    for each in (public, private, carrier):
        _destroy(each)
    return made


def _created(session: Any, key: rsa.RSAPrivateKey, names: dict[Any, Any]) -> Any:
    numbers = key.private_numbers()
    values = {
        Attribute.MODULUS: numbers.public_numbers.n,
        Attribute.PUBLIC_EXPONENT: numbers.public_numbers.e,
        Attribute.PRIVATE_EXPONENT: numbers.d,
        Attribute.PRIME_1: numbers.p,
        Attribute.PRIME_2: numbers.q,
        Attribute.EXPONENT_1: numbers.dmp1,
        Attribute.EXPONENT_2: numbers.dmq1,
        Attribute.COEFFICIENT: numbers.iqmp,
    }
    kind = {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.KEY_TYPE: KeyType.RSA, Attribute.TOKEN: True}
    try:
        octets = {attribute: _octets(value) for attribute, value in values.items()}
        return session.create_object({**kind, **_KEPT, **names, **octets})
    except PKCS11Error as error:
        raise Trouble(Fault.REFUSED, f"the token takes no key from outside: {words(error)}") from error


def _fit(pair: tuple[Any, Any]) -> dict[str, Any]:
    """What was made, if the token keeps it as was asked; else it is removed again. Raises Trouble."""
    attributes = facts(pair[1])
    if attributes["extractable"] or not attributes["sensitive"] or not attributes["decrypt"]:
        for each in pair:
            _destroy(each)
        raise Trouble(Fault.UNFIT, "the token would give the key away, or not open with it; it was removed again")
    return {"spki": spki(pair[1]).hex(), **attributes}


def remove(session: Any, name: KeyName, asked: dict[str, Any]) -> bool:
    """The end of a key whose public half has this SHA-256, and of the public object beside it; False: it is gone."""
    try:
        private = find(session, name)
    except Trouble:
        if any(True for _ in session.get_objects(_attributes(name, ObjectClass.PRIVATE_KEY))):
            raise
        return False
    if hashlib.sha256(spki(private)).hexdigest() != asked["public"]:
        raise Trouble(Fault.OTHER, f"the key {name} of the token {name.token} is another; it was left as it is")
    beside = list(session.get_objects({Attribute.CLASS: ObjectClass.PUBLIC_KEY, Attribute.ID: private.id}))
    private.destroy()
    for each in beside:
        _destroy(each)
    return True


def _must_be_free(session: Any, name: KeyName) -> None:
    for kind in (ObjectClass.PRIVATE_KEY, ObjectClass.PUBLIC_KEY):
        if any(True for _ in session.get_objects(_attributes(name, kind))):
            raise Trouble(Fault.EXISTS, f"the token {name.token} has a key called {name} already; it was left as it is")


def _attributes(name: KeyName, kind: ObjectClass) -> dict[Any, Any]:
    by = {"label": Attribute.LABEL, "id": Attribute.ID}
    return {Attribute.CLASS: kind, **{by[key]: value for key, value in named(name).items()}}


def _destroy(thing: Any) -> None:
    with contextlib.suppress(PKCS11Error):
        thing.destroy()


def _octets(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8)


MAKINGS: dict[str, Callable[[Any, KeyName, dict[str, Any]], Any]] = {
    "generate": generate,
    "bring": bring,
    "remove": remove,
}
