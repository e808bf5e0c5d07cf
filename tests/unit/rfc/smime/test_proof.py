"""No contract is kept by a mere Content-Type."""

from __future__ import annotations

import base64

import pytest

from mta.rfc.mime.header import scan_header
from mta.rfc.smime.kind import Kind, kind_of
from mta.rfc.smime.proof import is_what_it_claims
from tests.support.smime_mail import MESSAGE, berta, encrypt

PGP = (
    b'From: a@x.example\r\nContent-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\r\n\r\n'
    b"--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n\r\n"
    b"--b\r\nContent-Type: application/octet-stream\r\n\r\n%s\r\n--b--\r\n"
)


def armoured(first: int) -> bytes:
    text = base64.b64encode(bytes([first]) + b"\x01\x02\x03\x04\x05\x06\x07")
    return b"-----BEGIN PGP MESSAGE-----\r\nVersion: x\r\n\r\n" + text + b"\r\n-----END PGP MESSAGE-----\r\n"


def proven(raw: bytes) -> tuple[Kind, bool]:
    block = scan_header(raw, len(raw))
    kind = kind_of(block, raw)
    return kind, is_what_it_claims(raw, block, kind)


@pytest.mark.parametrize("first", [0x84, 0x85, 0x8C, 0xC1, 0xC3])
def test_pgp_that_begins_with_a_session_key(first: int) -> None:
    assert proven(PGP % armoured(first)) == (Kind.PGP_ENCRYPTED, True)


@pytest.mark.parametrize(
    "inside",
    [
        b"the secret in clear",
        armoured(0xCB),  # a literal: text that nobody encrypted
        armoured(0x41),
        b"-----BEGIN PGP MESSAGE-----\r\n\r\nno base64 at all\r\n",
        b"text first\r\n" + armoured(0x84),
        armoured(0x84) + b"the secret in clear\r\n",
    ],
)
def test_pgp_in_name_only(inside: bytes) -> None:
    assert proven(PGP % inside) == (Kind.PGP_ENCRYPTED, False)


@pytest.mark.parametrize(
    "raw",
    [
        b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data\r\n\r\nthe secret in clear\r\n",
        b"Content-Type: application/pkcs7-mime; smime-type=signed-data\r\nContent-Transfer-Encoding: base64\r\n"
        b"\r\nAAAA\r\n",
        b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b\r\n\r\n'
        b"--b\r\n\r\ntext\r\n--b\r\nContent-Type: application/pkcs7-signature\r\n\r\nxx\r\n--b--\r\n",
    ],
)
def test_smime_in_name_only(raw: bytes) -> None:
    kind, found = proven(raw)
    assert kind.protected
    assert not found


@pytest.mark.parametrize("behind", [b"the secret in clear\r\n", b"\r\n-- \r\nOur disclaimer\r\n"])
def test_clear_text_behind_an_envelope_is_no_envelope(behind: bytes) -> None:
    whole = PGP % armoured(0x84)
    assert proven(whole + b"\r\n") == (Kind.PGP_ENCRYPTED, True)
    assert proven(whole + behind) == (Kind.PGP_ENCRYPTED, False)
    sealed = encrypt(MESSAGE, berta())
    assert proven(sealed) == (Kind.ENCRYPTED, True)
    assert proven(sealed + b"\r\n") == (Kind.ENCRYPTED, True)
    assert proven(sealed + b"====\r\n" + behind) == (Kind.ENCRYPTED, False)


def test_clear_text_in_the_control_part_of_pgp_is_seen() -> None:
    whole = (PGP % armoured(0x84)).replace(b"Version: 1\r\n", b"Version: 1\r\nthe secret in clear\r\n")
    assert proven(whole) == (Kind.PGP_ENCRYPTED, False)
