"""ML-KEM recipients: the example of RFC 9936 to its plaintext, and what must not be taken."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import mlkem

from mta.rfc.smime import algorithms as names
from mta.rfc.smime import der
from mta.rfc.smime.cipher import CIPHERS
from mta.rfc.smime.decrypt import CANNOT, Envelope, decrypt, read_envelope
from mta.rfc.smime.kem import KEM_RECIPIENT
from mta.rfc.smime.party import party
from tests.support.corpora import corpus
from tests.support.smime import person

HKDF = der.algorithm("1.2.840.113549.1.9.16.3.28")
WRAP = der.algorithm("2.16.840.1.101.3.4.1.45")


class Answering(mlkem.MLKEM768PrivateKey):
    """Stands for a key whose operation is known: `cryptography` has no ML-KEM-512."""

    def __init__(self, ciphertext: bytes, secret: bytes) -> None:
        self.ciphertext, self.secret = ciphertext, secret

    def decapsulate(self, ciphertext: Any) -> bytes:
        return self.secret if ciphertext == self.ciphertext else bytes(32)


Answering.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


def example() -> tuple[Envelope, Path]:
    folder = corpus("pqc-lamps/cms-kyber")
    pem = (folder / "ML-KEM-512.cms").read_bytes().split(b"-----")[2]
    return read_envelope(base64.b64decode(b"".join(pem.split()))), folder


def numbers(path: Path) -> bytes:
    return bytes.fromhex("".join(path.read_text().split()))


def test_the_example_of_rfc_9936_comes_to_its_plaintext() -> None:
    """All but the one operation of ML-KEM-512, whose answer the example tells: derivation, wrap, content."""
    envelope, folder = example()
    (entry,) = envelope.entries
    assert entry.transport == "ml-kem-512"
    key = Answering(numbers(folder / "ciphertext.txt"), numbers(folder / "shared_secret.txt"))
    content_key = entry.open(key, 16)
    assert content_key == numbers(folder / "cek.txt")
    assert envelope.sealed.opened(content_key) == (folder / "plaintext.txt").read_bytes()
    assert entry.open(Answering(b"", b""), 16) is None


def recipient(kind: str = "ml-kem-768", **changes: bytes) -> bytes:
    parts = {
        "version": der.integer(0),
        "rid": party(person(kind).der).issuer_and_serial,
        "kem": der.algorithm(party(person(kind).der).key_algorithm.oid),
        "ciphertext": der.octet_string(bytes(1088)),
        "kdf": HKDF,
        "size": der.integer(32),
        "wrap": WRAP,
        "wrapped": der.octet_string(bytes(40)),
    }
    return der.explicit(4, der.oid(KEM_RECIPIENT), der.sequence(*(parts | changes).values()))


def envelope(info: bytes) -> bytes:
    algorithm = der.algorithm(CIPHERS["aes256-cbc"].oid, der.octet_string(bytes(16)))
    inner = der.sequence(der.oid(names.DATA), algorithm, der.element(0x80, bytes(16)))
    body = der.sequence(der.integer(3), der.set_of([info]), inner)
    return der.sequence(der.oid(names.ENVELOPED_DATA), der.explicit(0, body))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, CANNOT),
        ({"ciphertext": der.octet_string(b"short")}, CANNOT),
        ({"wrapped": der.octet_string(b"")}, CANNOT),
        ({"size": der.integer(16)}, "another length than its key wrap needs"),
        ({"kdf": der.algorithm("1.2.840.113549.1.9.16.3.28", der.NULL)}, "the key derivation"),
        ({"kdf": der.algorithm("1.2.3.4")}, "the key derivation 1.2.3.4"),
        ({"kem": der.algorithm("1.2.3.4")}, "the key encapsulation 1.2.3.4"),
        ({"kem": der.algorithm("2.16.840.1.101.3.4.4.2", der.NULL)}, "the key encapsulation"),
        ({"wrap": der.algorithm("1.2.3.4")}, "the key wrap 1.2.3.4"),
    ],
)
def test_what_is_wrong_with_a_recipient_is_said_if_it_is_no_secret(changes: dict[str, bytes], reason: str) -> None:
    outcome = decrypt(envelope(recipient(**changes)), [person("ml-kem-768").decryption_key])
    assert outcome.content is None
    assert reason in outcome.reason


def test_other_kinds_of_recipients_are_passed_over() -> None:
    data = envelope(der.explicit(4, der.oid("1.2.3.4"), der.NULL))
    assert decrypt(data, [person("ml-kem-768").decryption_key]).recipients == ()
