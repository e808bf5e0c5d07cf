"""Keys that stay in a token: they sign and decrypt as those of `cryptography` do, in any thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from mta.adapters.pki import self_signed
from mta.errors import MtaError
from tests.support.programs import needs
from tests.support.softhsm import PIN, SoftHsm, soft_hsm

pytestmark = [pytest.mark.peer, needs("softhsm2-util"), pytest.mark.xdist_group("softhsm")]
DATA = b"what is signed"


@lru_cache(2)
def own(kind: str) -> Any:
    return self_signed(emails=["a@contoso.example"], key=kind)


@pytest.fixture(scope="module")
def hsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftHsm]:
    made = soft_hsm(tmp_path_factory.mktemp("hsm"))
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ.update(made.environment)
    made.store("office", own("rsa-2048").key_pem)
    made.make_curve("curve")
    made.store("signs-only", own("ec-p256").key_pem)
    yield made
    if before is None:
        del os.environ["SOFTHSM2_CONF"]


@pytest.fixture(scope="module")
def tokens(hsm: SoftHsm) -> Iterator[Any]:
    from mta.adapters.token import Tokens

    made = Tokens(hsm.module, PIN)
    yield made
    made.close()


@pytest.mark.parametrize("digest", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()], ids=lambda each: each.name)
def test_an_rsa_key_signs(hsm: SoftHsm, tokens: Any, digest: hashes.HashAlgorithm) -> None:
    key = tokens.key(hsm.uri("office"))
    public = own("rsa-2048").key.public_key()
    assert key.public_key() == public
    assert isinstance(key, rsa.RSAPrivateKey)
    public.verify(key.sign(DATA, padding.PKCS1v15(), digest), DATA, padding.PKCS1v15(), digest)
    salted = padding.PSS(padding.MGF1(digest), digest.digest_size)
    public.verify(key.sign(DATA, salted, digest), DATA, salted, digest)
    hashed = hashes.Hash(digest)
    hashed.update(DATA)
    signature = key.sign(hashed.finalize(), padding.PKCS1v15(), Prehashed(digest))
    public.verify(signature, DATA, padding.PKCS1v15(), digest)


def test_an_rsa_key_decrypts_and_what_is_broken_is_a_value_error(hsm: SoftHsm, tokens: Any) -> None:
    key = tokens.key(hsm.uri("office"))
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # the one that SoftHSM knows
    for scheme in (padding.PKCS1v15(), oaep):
        assert key.decrypt(key.public_key().encrypt(b"secret", scheme), scheme) == b"secret"
    with pytest.raises(ValueError, match="Decryption failed"):
        key.decrypt(b"\x01" * 256, oaep)


def test_a_curve_signs_and_agrees(hsm: SoftHsm, tokens: Any) -> None:
    key = tokens.key(hsm.uri("curve"))
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    key.public_key().verify(key.sign(DATA, ec.ECDSA(hashes.SHA256())), DATA, ec.ECDSA(hashes.SHA256()))
    other = ec.generate_private_key(ec.SECP256R1())
    assert key.exchange(ec.ECDH(), other.public_key()) == other.exchange(ec.ECDH(), key.public_key())


def test_what_the_token_does_not_permit_is_said(hsm: SoftHsm, tokens: Any) -> None:
    key = tokens.key(hsm.uri("signs-only"))
    with pytest.raises(MtaError, match="does not let signs-only do this"):
        key.exchange(ec.ECDH(), ec.generate_private_key(ec.SECP256R1()).public_key())


def test_a_key_of_another_certificate_does_nothing(hsm: SoftHsm, tokens: Any) -> None:
    key = tokens.key(hsm.uri("office"), self_signed(emails=["a@contoso.example"], key="rsa-2048").key.public_key())
    with pytest.raises(MtaError, match="is another than the one that is meant"):
        key.sign(DATA, padding.PKCS1v15(), hashes.SHA256())


def test_every_thread_may_use_a_key(hsm: SoftHsm, tokens: Any) -> None:
    key = tokens.key(hsm.uri("office"))
    signatures: list[bytes] = []
    work = [
        threading.Thread(target=lambda: signatures.append(key.sign(DATA, padding.PKCS1v15(), hashes.SHA256())))
        for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(set(signatures)) == 1
    assert len(signatures) == 4


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("pkcs11:token=mta-test;object=nobody", "no one key called nobody"),
        ("pkcs11:token=other;object=office", "no token other"),
        ("pkcs11:object=office", "expected pkcs11:token="),
        ("pkcs11:token=mta-test", "expected pkcs11:token="),
    ],
)
def test_what_is_not_there_is_said(tokens: Any, uri: str, words: str) -> None:
    with pytest.raises(MtaError, match=words):
        tokens.key(uri)


def test_the_key_never_leaves(hsm: SoftHsm, tokens: Any) -> None:
    for label in ("office", "curve"):
        with pytest.raises(MtaError, match="stays in the token"):
            tokens.key(hsm.uri(label)).private_numbers()
