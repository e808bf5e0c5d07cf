"""Ours and theirs, both directions: openssl cms, gpgsm and NSS cmsutil read what we write, and we what they write.

Each test is a line of the matrix, and goes through all contents: text, 8-bit, binary and a megabyte, detached and
opaque. What a program cannot do at all (Debian 12: no AES-GCM in gpgsm and NSS, no Ed25519 in openssl cms) is no line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mta.rfc.smime.decrypt import decrypt
from mta.rfc.smime.encrypt import enveloped_data, prepare_recipient
from mta.rfc.smime.profile import PROFILES, Profile, with_words
from mta.rfc.smime.sign import prepare_signer, signed_data
from mta.rfc.smime.verify import verify_signed_data
from tests.support.programs import needs
from tests.support.smime import NOW, Person, person
from tests.support.smime_peers import Gpgsm, Nss, OpenSsl, PeerFailed

pytestmark = [pytest.mark.peer, needs("openssl", "gpgsm", "cmsutil"), pytest.mark.xdist_group("smime-interop")]

CONTENTS = {
    "text": b"Content-Type: text/plain\r\n\r\nThe figures of the third quarter.\r\n",
    "8-bit": "Content-Type: text/plain; charset=utf-8\r\n\r\nDie Zahlen für März – geprüft.\r\n".encode(),
    "binary": b"Content-Type: application/octet-stream\r\n\r\n" + bytes(range(256)) * 7 + b"\n\r\0",
    "1 MiB": b"0123456789abcde\n" * 65_536,
}
PEOPLE = ["rsa", "p256", "p384", "p521", "brainpool256", "brainpool384", "brainpool512"]
DEFAULT = PROFILES["default"]
PSS = with_words(DEFAULT, rsa_signature="pss")
PSS_512 = with_words(PROFILES["edi-energy"], digest="sha512")
words = partial(with_words, DEFAULT)


def someone(kind: str) -> Person:
    """NSS tells its people apart by their addresses."""
    return person(kind, f"{kind}-peer")


@pytest.fixture(scope="module")
def openssl(tmp_path_factory: pytest.TempPathFactory) -> OpenSsl:
    peer = OpenSsl(tmp_path_factory.mktemp("openssl"), {kind: someone(kind) for kind in PEOPLE})
    peer.prepare()
    return peer


@pytest.fixture(scope="module")
def gpgsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gpgsm]:
    peer = Gpgsm(tmp_path_factory.mktemp("gpgsm"), {kind: someone(kind) for kind in ("rsa", "p256", "brainpool256")})
    try:
        peer.prepare()
        yield peer
    finally:
        peer.close()


@pytest.fixture(scope="module")
def nss(tmp_path_factory: pytest.TempPathFactory) -> Nss:
    peer = Nss(tmp_path_factory.mktemp("nss"), {kind: someone(kind) for kind in ("rsa", "p256", "p384", "p521")})
    peer.prepare()
    return peer


def signed(kind: str, profile: Profile, content: bytes, detached: bool) -> bytes:
    return signed_data([prepare_signer(someone(kind).identity, profile)], content, detached=detached, signing_time=NOW)


def enveloped(kind: str, profile: Profile, content: bytes) -> bytes:
    return enveloped_data([prepare_recipient(someone(kind).der, profile)], content, profile, os.urandom)


SIGNED_BY_US = [
    *(("openssl", kind, DEFAULT) for kind in PEOPLE),
    *(("openssl", "rsa", profile) for profile in (PSS, PSS_512, words(digest="sha384"))),
    *(("openssl", kind, PSS_512) for kind in ("p256", "brainpool384")),
    *(("gpgsm", kind, DEFAULT) for kind in ("rsa", "p256", "brainpool256")),
    *(("gpgsm", "rsa", profile) for profile in (PSS, PSS_512)),
    *(("nss", kind, DEFAULT) for kind in ("rsa", "p256", "p384", "p521")),
    *(("nss", "rsa", profile) for profile in (PSS, PSS_512)),
]
SIGNED_BY_THEM = [
    *(("openssl", kind, ("-md", digest)) for kind in ("rsa", "p256") for digest in ("sha256", "sha384", "sha512")),
    *(("openssl", kind, ("-md", "sha512")) for kind in PEOPLE[2:]),
    *(("openssl", "rsa", ("-md", digest, "-keyopt", "rsa_padding_mode:pss")) for digest in ("sha256", "sha512")),
    ("openssl", "rsa", ("-md", "sha256", "-keyid")),
    ("openssl", "rsa", ("-md", "sha256", "-noattr")),
    ("openssl", "rsa", ("-md", "sha256", "-cades")),
    ("openssl", "rsa", ("-md", "sha3-256")),
    *(("gpgsm", "rsa", ("--digest-algo", digest)) for digest in ("SHA256", "SHA384", "SHA512")),
    *(("nss", "rsa", ("-H", digest)) for digest in ("SHA256", "SHA384", "SHA512")),
    *(("nss", kind, ()) for kind in ("p256", "p384", "p521")),
]
OAEP = [words(key_transport="oaep", oaep_digest=digest) for digest in ("sha1", "sha256", "sha384", "sha512")]
CIPHERS = [words(cipher=f"aes{bits}-{mode}") for bits in (128, 192, 256) for mode in ("cbc", "gcm")]
ENCRYPTED_BY_US = [
    *(("openssl", "rsa", profile) for profile in (*OAEP, *CIPHERS, words(recipient_identifier="ski"))),
    *(("openssl", "rsa", PROFILES[name]) for name in ("authenticated", "edi-energy")),
    *(("openssl", kind, profile) for kind in PEOPLE[1:] for profile in (DEFAULT, PROFILES["authenticated"])),
    *(("openssl", "p256", words(key_derivation=digest, recipient_identifier="ski")) for digest in ("sha384", "sha512")),
    ("openssl", "p384", words(cipher="aes128-cbc", key_wrap="aes256")),
    *(("gpgsm", "rsa", words(cipher=f"aes{bits}-cbc")) for bits in (128, 192, 256)),
    *(("nss", "rsa", words(cipher=f"aes{bits}-cbc")) for bits in (128, 192, 256)),
    ("nss", "rsa", words(recipient_identifier="ski")),
]
RSA_OAEP = ("-keyopt", "rsa_padding_mode:oaep")
ENCRYPTED_BY_THEM = [
    *(("openssl", "rsa", (f"-aes-{bits}-{mode}",)) for bits in (128, 192, 256) for mode in ("cbc", "gcm")),
    ("openssl", "rsa", ("-des3",)),
    ("openssl", "rsa", ("-aes-128-gcm", *RSA_OAEP)),
    *(("openssl", "rsa", ("-aes-256-cbc", *RSA_OAEP, "-keyopt", f"rsa_oaep_md:sha{bits}")) for bits in (256, 512)),
    ("openssl", "rsa", ("-aes-256-cbc", *RSA_OAEP, "-keyopt", "rsa_oaep_md:sha256", "-keyopt", "rsa_mgf1_md:sha512")),
    ("openssl", "rsa", ("-aes-256-cbc", *RSA_OAEP, "-keyopt", "rsa_oaep_label:0011")),
    *(("openssl", kind, ("-aes-256-cbc",)) for kind in PEOPLE[1:]),
    *(("openssl", "p256", ("-aes-128-gcm", "-keyopt", f"ecdh_kdf_md:sha{bits}")) for bits in (224, 256, 384, 512)),
    ("openssl", "brainpool256", ("-aes-256-gcm", "-keyopt", "ecdh_cofactor_mode:1")),
    *(("gpgsm", "rsa", ("--cipher-algo", name)) for name in ("AES128", "AES192", "AES256", "3DES")),
    ("nss", "rsa", ()),
]


def name_of(value: Any) -> str:
    if isinstance(value, Profile):
        odd = [getattr(value, field) for field in value.__slots__ if getattr(value, field) != getattr(DEFAULT, field)]
        return "+".join(map(str, odd)) or value.name
    return value if isinstance(value, str) else " ".join(value) or "default"


@pytest.mark.parametrize(("program", "kind", "profile"), SIGNED_BY_US, ids=name_of)
def test_they_verify_what_we_sign(request: pytest.FixtureRequest, program: str, kind: str, profile: Profile) -> None:
    peer = request.getfixturevalue(program)
    for content in CONTENTS.values():
        assert peer.verify(signed(kind, profile, content, False), None) == content
        der = signed(kind, profile, content, True)
        assert peer.verify(der, content) == content
    with pytest.raises(PeerFailed):
        peer.verify(der, content + b"!")


@pytest.mark.parametrize(("program", "kind", "options"), SIGNED_BY_THEM, ids=name_of)
def test_we_verify_what_they_sign(
    request: pytest.FixtureRequest, program: str, kind: str, options: tuple[str, ...]
) -> None:
    peer = request.getfixturevalue(program)
    for content in CONTENTS.values():
        opaque = verify_signed_data(peer.sign(kind, content, False, *options), None)
        assert opaque.good, opaque
        assert opaque.content == content
        der = peer.sign(kind, content, True, *options)
        detached = verify_signed_data(der, content)
        assert detached.good, detached
        assert detached.signers[0].certificate == someone(kind).der
    assert not verify_signed_data(der, content + b"!").good


@pytest.mark.parametrize(("program", "kind", "profile"), ENCRYPTED_BY_US, ids=name_of)
def test_they_decrypt_what_we_encrypt(
    request: pytest.FixtureRequest, program: str, kind: str, profile: Profile
) -> None:
    peer = request.getfixturevalue(program)
    for content in CONTENTS.values():
        assert peer.decrypt(kind, enveloped(kind, profile, content)) == content


@pytest.mark.parametrize(("program", "kind", "options"), ENCRYPTED_BY_THEM, ids=name_of)
def test_we_decrypt_what_they_encrypt(
    request: pytest.FixtureRequest, program: str, kind: str, options: tuple[str, ...]
) -> None:
    peer = request.getfixturevalue(program)
    for content in CONTENTS.values():
        outcome = decrypt(peer.encrypt([kind], content, *options), [someone(kind).decryption_key])
        assert outcome.content == content, outcome
        assert outcome.authenticated == ("gcm" in " ".join(options))


TRIPLE = [("openssl", "rsa", DEFAULT), ("openssl", "p256", PROFILES["authenticated"]), ("openssl", "rsa", PSS_512)]
TRIPLE += [("gpgsm", "rsa", DEFAULT), ("nss", "rsa", DEFAULT)]


@pytest.mark.parametrize(("program", "kind", "profile"), TRIPLE, ids=name_of)
def test_triple_wrapped(request: pytest.FixtureRequest, program: str, kind: str, profile: Profile) -> None:
    """Signed, encrypted and signed again (RFC 2634 §1.1): ours opened by them, theirs by us."""
    peer = request.getfixturevalue(program)
    options = ("-aes-256-gcm" if profile.authenticated else "-aes-256-cbc",) if program == "openssl" else ()
    for content in CONTENTS.values():
        ours = signed(kind, profile, enveloped(kind, profile, signed(kind, profile, content, False)), False)
        assert peer.verify(peer.decrypt(kind, peer.verify(ours, None)), None) == content
        theirs = peer.sign(kind, peer.encrypt([kind], peer.sign(kind, content, False), *options), False)
        outer = verify_signed_data(theirs, None)
        assert outer.good
        assert outer.content is not None
        middle = decrypt(outer.content, [someone(kind).decryption_key])
        assert middle.content is not None
        assert verify_signed_data(middle.content, None).content == content


def test_one_envelope_for_several_of_them(openssl: OpenSsl) -> None:
    kinds = ["rsa", "p256", "brainpool384"]
    content = CONTENTS["text"]
    recipients = [prepare_recipient(someone(kind).der, DEFAULT) for kind in kinds]
    ours = enveloped_data(recipients, content, DEFAULT, os.urandom)
    theirs = openssl.encrypt(kinds, content, "-aes-128-gcm")
    for kind in kinds:
        assert openssl.decrypt(kind, ours) == content
        assert decrypt(theirs, [someone(kind).decryption_key]).content == content


def test_several_signers_of_theirs(openssl: OpenSsl, tmp_path: Path) -> None:
    second = ("-signer", str(openssl.folder / "p384.pem"), "-inkey", str(openssl.folder / "p384.key"))
    outcome = verify_signed_data(openssl.sign("rsa", CONTENTS["text"], False, *second), None)
    assert outcome.good
    assert {signer.scheme for signer in outcome.signers} == {"rsa-pkcs1-sha256", "ecdsa-sha256"}


def test_streamed_messages_of_theirs(openssl: OpenSsl) -> None:
    """OpenSSL writes BER of indefinite length then, the content in pieces."""
    content = CONTENTS["1 MiB"]
    der = openssl.sign("p256", content, False, "-stream")
    assert der[1] == 0x80
    outcome = verify_signed_data(der, None)
    assert outcome.good
    assert outcome.content == content
    der = openssl.encrypt(["rsa"], content, "-aes256", "-stream")
    assert der[1] == 0x80
    assert decrypt(der, [someone("rsa").decryption_key]).content == content
