"""Certificates and revocation lists out of files and attributes: PEM (RFC 7468), DER, and PKCS #7 (RFC 5652 §5.1).

Whatever the container, what comes out is DER. Nothing of it has been judged; a certificate may be unreadable still.
"""

from __future__ import annotations

import base64
import binascii
import re
import warnings

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----([^-]*)-----END \1-----")
_CERTIFICATE_LABELS = (b"CERTIFICATE", b"X509 CERTIFICATE", b"TRUSTED CERTIFICATE")  # RFC 7468 §5.1 names the old ones
_PKCS7_LABELS = (b"PKCS7", b"CMS")
_CRL_LABEL = b"X509 CRL"
MOST = 1000  # certificates of one PKCS #7 object; a bag of more is no answer to any question


def certificates_in(data: bytes) -> tuple[bytes, ...]:
    """Every certificate in `data`, in its order. Raises ValueError for what holds none or cannot be read."""
    certificates: list[bytes] = []
    for label, der in _blocks(data):
        if label in _CERTIFICATE_LABELS:
            certificates.append(der)
        elif label in _PKCS7_LABELS:
            certificates.extend(_of_pkcs7(der))
    if not certificates and data[:1] == b"\x30":
        certificates.extend((data,) if _is_certificate(data) else _of_pkcs7(data))
    if not certificates:
        raise ValueError("it holds no certificate")
    return tuple(certificates)


def revocation_lists_in(data: bytes) -> tuple[bytes, ...]:
    """Every revocation list in `data`. Raises ValueError for what holds none."""
    lists = [der for label, der in _blocks(data) if label == _CRL_LABEL]
    if not lists and data[:1] == b"\x30" and outer_length(data) == len(data):
        lists.append(data)
    if not lists:
        raise ValueError("it holds no revocation list")
    return tuple(lists)


def pem_of(der: bytes) -> str:
    """A certificate as a PEM block (RFC 7468 §5)."""
    text = base64.b64encode(der).decode("ascii")
    lines = "".join(f"{text[start : start + 64]}\n" for start in range(0, len(text), 64))
    return f"-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n"


def outer_length(data: bytes) -> int:
    """How many octets the element at the beginning of `data` has by its own word; 0: it has no definite length."""
    if len(data) < 2:
        return 0
    length, start = data[1], 2
    if length & 0x80:
        octets = length & 0x7F
        if not 1 <= octets <= 4 or len(data) < 2 + octets:
            return 0
        length, start = int.from_bytes(data[2 : 2 + octets], "big"), 2 + octets
    return start + length


def _blocks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The PEM blocks of `data`: label and DER. Raises ValueError for one whose base64 is broken."""
    blocks = []
    for label, body in _BLOCK.findall(data):
        try:
            der = base64.b64decode(b"".join(body.split()), validate=True)
        except binascii.Error as error:
            raise ValueError(f"its base64 is broken: {error}") from error
        size = outer_length(der)
        # OpenSSL's trusted certificates carry their trust behind the certificate
        blocks.append((label, der[:size] if label.startswith(b"TRUSTED") and size else der))
    return blocks


def _is_certificate(der: bytes) -> bool:
    """Whether the first inner element is a SEQUENCE (tbsCertificate); that of PKCS #7 is an object identifier."""
    inner = 2 + (der[1] & 0x7F if len(der) > 1 and der[1] & 0x80 else 0)
    return der[inner : inner + 1] == b"\x30"


def _of_pkcs7(der: bytes) -> list[bytes]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that it is BER: PKCS #7 always was
            certificates = load_der_pkcs7_certificates(der)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ValueError(f"it is no PKCS #7 object with certificates: {error}") from error
    if len(certificates) > MOST:
        raise ValueError(f"it holds more than {MOST} certificates")
    return [certificate.public_bytes(Encoding.DER) for certificate in certificates]
