"""Which mail is protected already."""

from __future__ import annotations

import base64

import pytest

from mta.rfc.mime.header import scan_header
from mta.rfc.smime.kind import Kind, kind_of

SIGNED_DATA = bytes.fromhex("308006092a864886f70d010702a080") + bytes(40)
ENVELOPED_DATA = bytes.fromhex("3082012006092a864886f70d010703a0820111") + bytes(40)
AUTH_ENVELOPED = bytes.fromhex("30820120060b2a864886f70d0109100117a0820111") + bytes(40)
COMPRESSED = bytes.fromhex("30820120060b2a864886f70d0109100109a0820111") + bytes(40)


def p7m(der: bytes, parameters: str = "", kind: str = "application/pkcs7-mime") -> bytes:
    head = f"Content-Type: {kind}{parameters}\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    return head.encode() + base64.encodebytes(der)


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        (Kind.PLAIN, b""),
        (Kind.PLAIN, b"Subject: x\r\n\r\n-----BEGIN\r\n"),
        (Kind.PLAIN, b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"),
        (Kind.PLAIN, b"Content-Type: multipart/signed; boundary=b\r\n\r\n"),
        (Kind.SIGNED, b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b\r\n\r\n'),
        (Kind.SIGNED, b"content-type: Multipart/Signed; Protocol=application/x-PKCS7-signature\r\n\r\n"),
        (Kind.PGP_SIGNED, b'Content-Type: multipart/signed; protocol="application/pgp-signature"\r\n\r\n'),
        (Kind.PGP_ENCRYPTED, b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"\r\n\r\n'),
        (Kind.PGP_INLINE, b"Subject: x\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n"),
        (Kind.PGP_INLINE, b"Content-Type: text/plain\r\n\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\r\n"),
        (Kind.PLAIN, b"Content-Type: image/png\r\n\r\n-----BEGIN PGP MESSAGE-----\r\n"),
        (Kind.OPAQUE, p7m(SIGNED_DATA)),
        (Kind.OPAQUE, p7m(SIGNED_DATA, "; smime-type=enveloped-data")),  # what is there counts
        (Kind.CERTIFICATES, p7m(SIGNED_DATA, "; smime-type=certs-only")),
        (Kind.ENCRYPTED, p7m(ENVELOPED_DATA)),
        (Kind.ENCRYPTED, p7m(ENVELOPED_DATA, "; smime-type=certs-only")),
        (Kind.ENCRYPTED, p7m(AUTH_ENVELOPED, kind="application/x-pkcs7-mime")),
        (Kind.COMPRESSED, p7m(COMPRESSED)),
        (Kind.ENCRYPTED, p7m(b"?", "; smime-type=Enveloped-Data")),
        (Kind.OPAQUE, p7m(b"?", "; smime-type=nobody-knows")),
        (Kind.ENCRYPTED, p7m(ENVELOPED_DATA, '; name="SMIME.p7m"', "application/octet-stream")),
        (Kind.PLAIN, p7m(ENVELOPED_DATA, '; name="smime.p7m.exe"', "application/octet-stream")),
        (
            Kind.ENCRYPTED,
            b"Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=a.p7m\r\n\r\n"
            + ENVELOPED_DATA,
        ),
        (Kind.ENCRYPTED, b"Content-Type: application/pkcs7-mime\r\n\r\n" + ENVELOPED_DATA),
        (Kind.ENCRYPTED, p7m(ENVELOPED_DATA, " (S/MIME)")),
        (Kind.ENCRYPTED, p7m(ENVELOPED_DATA).replace(b"base64", b"(see 6.8) base64")),
        (Kind.ENCRYPTED, p7m(b"?", "; smime-type*=us-ascii''enveloped%2Ddata")),
        (Kind.ENCRYPTED, p7m(ENVELOPED_DATA, "; name*=utf-8''smime.p7m", "application/octet-stream")),
        (Kind.ENCRYPTED, p7m(ENVELOPED_DATA, '; name*0="smi"; name*1="me.p7m"', "application/octet-stream")),
        (
            Kind.ENCRYPTED,
            b"Content-Type: application/octet-stream\r\nContent-Disposition: (c) attachment;\r\n"
            b" filename*0*=utf-8''smi;\r\n filename*1*=me%2Ep7m\r\n\r\n" + ENVELOPED_DATA,
        ),
        (
            Kind.SIGNED,
            b"Content-Type: multipart/signed (c); protocol=(c) application/pkcs7-signature; boundary=b\r\n\r\n",
        ),
    ],
)
def test_a_message_is_recognised(kind: Kind, raw: bytes) -> None:
    assert kind_of(scan_header(raw, len(raw)), raw) is kind


def test_what_the_kinds_mean() -> None:
    assert [kind.value for kind in Kind if kind.protected] == [
        "signed",
        "opaque",
        "encrypted",
        "pgp-signed",
        "pgp-encrypted",
        "pgp-inline",
    ]
    assert [kind.value for kind in Kind if kind.signed] == ["signed", "opaque"]
    assert not Kind.PGP_INLINE.smime
    assert Kind.COMPRESSED.smime
