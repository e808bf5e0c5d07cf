"""DER, as much of it as the outline of a certificate needs: elements side by side, contents, extensions."""

from __future__ import annotations

from collections.abc import Iterator

_BOOLEAN, _SEQUENCE, _VERSION, _EXTENSIONS = 0x01, 0x30, 0xA0, 0xA3


def elements(data: bytes) -> Iterator[bytes]:
    """The elements that stand side by side in `data`, each with its tag and length. Raises ValueError."""
    position = 0
    while position < len(data):
        end = _bounds(data, position)[1]
        if end > len(data):
            raise ValueError("no certificate: it is cut off")
        yield data[position:end]
        position = end


def content(element: bytes) -> bytes:
    """What is in an element. Raises ValueError."""
    return element[slice(*_bounds(element, 0))] if element else b""


def public_key_info(der: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a certificate (DER) as it stands there, which is what pins and DANE digest.

    Raises ValueError for what is no certificate.
    """
    fields = _fields(der)
    # RFC 5280 §4.1: [0] version, serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo
    number = 6 if fields and fields[0][0] == _VERSION else 5
    if len(fields) <= number or fields[number][0] != _SEQUENCE:
        raise ValueError("no certificate: it holds no public key")
    return fields[number]


def names_of(der: bytes) -> tuple[bytes, bytes]:
    """Subject and issuer of a certificate (DER), each a Name in DER. Raises ValueError."""
    fields = _fields(der)
    shift = 1 if fields and fields[0][0] == _VERSION else 0
    if len(fields) < shift + 5:
        raise ValueError("no certificate: it holds no names")
    return fields[shift + 4], fields[shift + 2]


def extension_of(der: bytes, oid: bytes) -> tuple[bool, bytes] | None:
    """Whether the extension `oid` (its content octets) of a certificate is critical, and its value; None: it has none.

    Raises ValueError for what is no certificate, or has the extension twice (RFC 5280 §4.2 forbids that).
    """
    values = []
    for field in _fields(der):
        if field[0] == _EXTENSIONS:
            for extension in elements(content(content(field))):
                name, *rest = elements(content(extension))
                if content(name) == oid and rest:
                    critical = rest[0][0] == _BOOLEAN and content(rest[0]) != b"\0"
                    values.append((critical, content(rest[-1])))
    if len(values) > 1:
        raise ValueError("it has an extension twice")
    return values[0] if values else None


def _fields(der: bytes) -> list[bytes]:
    """Those of the tbsCertificate."""
    certificate = next(elements(der), b"")
    return list(elements(content(next(elements(content(certificate)), b""))))


def _bounds(data: bytes, position: int) -> tuple[int, int]:
    """Where the content of the element at `position` starts and ends."""
    if position + 2 > len(data):
        raise ValueError("no certificate: it is cut off")
    length, start = data[position + 1], position + 2
    if length & 0x80:
        octets = length & 0x7F
        length, start = int.from_bytes(data[start : start + octets], "big"), start + octets
    return start, start + length
