"""Whole messages between `mta` and `openssl`, both directions."""

from __future__ import annotations

from pathlib import Path

import pytest

from mta.rfc.mime.entity import scan_entity
from mta.rfc.smime.message import open_message
from tests.support.programs import needs
from tests.support.smime import Person, person, root
from tests.support.smime_mail import HEADER, encrypt, openssl, sign, sign_and_encrypt

pytestmark = [pytest.mark.peer, needs("openssl")]

KINDS = ["rsa", "p256", "ed25519"]
TEXT = b"Content-Type: text/plain; charset=us-ascii\r\n\r\nThe figures.\r\n.\r\nFrom me \r\n"
EIGHT_BIT = (
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    + "Grüße aus Wien\r\n".encode()
)
BINARY = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: binary\r\n\r\n" + bytes(range(256)) * 8
NESTED = (
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n--b\r\n"
    + EIGHT_BIT
    + b"\r\n--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inside\r\n"
    + EIGHT_BIT
    + b"\r\n--b--\r\nepilogue\r\n"
)
LARGE = b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n" + (
    (b"QUJD" * 19 + b"\r\n") * ((1 << 20) // 78)
)
BODIES = {"text": TEXT, "8bit": EIGHT_BIT, "binary": BINARY, "nested": NESTED, "large": LARGE[: 1 << 20]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("interop")
    root().write(path, "root")
    for kind in KINDS:
        person(kind).write(path, kind)
    person("rsa", "berta").write(path, "berta")
    return path


def berta() -> Person:
    return person("rsa", "berta")


def body_of(entity: bytes) -> bytes:
    found = scan_entity(entity).root
    return entity[found.body : found.end]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("detached", [True, False], ids=["detached", "opaque"])
def test_openssl_verifies_what_we_sign(folder: Path, body: str, detached: bool) -> None:
    message = sign(HEADER + BODIES[body], person("rsa"), detached=detached)
    out = openssl(folder, "cms", "-verify", "-CAfile", "root.pem", data=message)
    assert as_on_the_wire(out) == open_message(message).payload
    assert out.isascii()


@pytest.mark.parametrize("kind", ["p256"])
@pytest.mark.parametrize("detached", [True, False], ids=["detached", "opaque"])
def test_openssl_verifies_other_keys(folder: Path, kind: str, detached: bool) -> None:
    message = sign(HEADER + TEXT, person(kind), detached=detached)
    assert as_on_the_wire(openssl(folder, "cms", "-verify", "-CAfile", "root.pem", data=message)) == TEXT


@pytest.mark.parametrize("body", BODIES)
def test_openssl_opens_what_we_sign_and_encrypt(folder: Path, body: str) -> None:
    message = sign_and_encrypt(HEADER + BODIES[body], person("rsa"), berta())
    signed = openssl(folder, "cms", "-decrypt", "-recip", "berta.pem", "-inkey", "berta.key", "-binary", data=message)
    out = openssl(folder, "cms", "-verify", "-CAfile", "root.pem", data=signed)
    assert as_on_the_wire(out) == open_message(message, [berta().decryption_key]).payload


def test_openssl_opens_three_layers(folder: Path) -> None:
    message = sign(encrypt(sign(HEADER + TEXT, person("rsa")), berta()), person("p256"))
    once = openssl(folder, "cms", "-verify", "-CAfile", "root.pem", data=message)
    twice = openssl(folder, "cms", "-decrypt", "-recip", "berta.pem", "-inkey", "berta.key", "-binary", data=once)
    assert as_on_the_wire(openssl(folder, "cms", "-verify", "-CAfile", "root.pem", data=twice)) == TEXT


@pytest.mark.parametrize("command", ["cms", "smime"])
@pytest.mark.parametrize("words", [(), ("-nodetach",), ("-binary",), ("-crlfeol",), ("-binary", "-nodetach")])
def test_we_verify_what_openssl_signs(folder: Path, command: str, words: tuple[str, ...]) -> None:
    crlf = "-binary" in words
    data = TEXT if crlf else TEXT.replace(b"\r\n", b"\n")
    message = openssl(
        folder, command, "-sign", "-signer", "rsa.pem", "-inkey", "rsa.key", *words, "-from", "x@y", data=data
    )
    found = open_message(as_on_the_wire(message))
    assert found.signatures[0].good, found.signatures
    assert body_of(found.payload) == body_of(TEXT)


@pytest.mark.parametrize("cipher", ["-aes256", "-aes-256-gcm", "-des3"])
def test_we_decrypt_what_openssl_signs_and_encrypts(folder: Path, cipher: str) -> None:
    signed = openssl(
        folder, "cms", "-sign", "-signer", "rsa.pem", "-inkey", "rsa.key", data=TEXT.replace(b"\r\n", b"\n")
    )
    message = openssl(folder, "cms", "-encrypt", cipher, "berta.pem", data=signed)
    found = open_message(as_on_the_wire(message), [berta().decryption_key])
    assert [bool(layer.envelope) for layer in found.layers] == [True, False]
    assert found.signatures[0].good
    assert found.envelopes[0].authenticated is (cipher == "-aes-256-gcm")
    assert body_of(found.payload) == body_of(TEXT)


def as_on_the_wire(message: bytes) -> bytes:
    """With CRLF, as every line ends once it has travelled."""
    return message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
