"""People with S/MIME certificates of every kind of key, made once for the whole run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, padding, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mta.rfc.smime.decrypt import DecryptionKey
from mta.rfc.smime.sign import SigningIdentity
from tests.support.moment import BEGAN, EPOCH

KINDS: dict[str, Callable[[], Any]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-1024": lambda: rsa.generate_private_key(65537, 1024),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "p521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "brainpool256": lambda: ec.generate_private_key(ec.BrainpoolP256R1()),
    "brainpool384": lambda: ec.generate_private_key(ec.BrainpoolP384R1()),
    "brainpool512": lambda: ec.generate_private_key(ec.BrainpoolP512R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "x25519": x25519.X25519PrivateKey.generate,
    "ml-dsa-44": mldsa.MLDSA44PrivateKey.generate,
    "ml-dsa-65": mldsa.MLDSA65PrivateKey.generate,
    "ml-dsa-87": mldsa.MLDSA87PrivateKey.generate,
    "ml-kem-768": mlkem.MLKEM768PrivateKey.generate,
    "ml-kem-1024": mlkem.MLKEM1024PrivateKey.generate,
}
SIGNING = ["rsa", "p256", "p384", "p521", "brainpool256", "brainpool384", "brainpool512", "ed25519"]
QUANTUM_SIGNING = ["ml-dsa-44", "ml-dsa-65", "ml-dsa-87"]
RECEIVING = ["rsa", "p256", "p384", "p521", "brainpool256", "brainpool384", "brainpool512", "x25519"]
QUANTUM_RECEIVING = ["ml-kem-768", "ml-kem-1024"]
ENTITY = b"Content-Type: text/plain; charset=us-ascii\r\n\r\nThe figures of the third quarter.\r\n"
NOW = EPOCH  # when messages are signed: NSS judges certificates by the moment of the signature
USES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@dataclass(frozen=True)
class Person:
    """A certificate, its key, and the root above."""

    certificate: x509.Certificate
    key: Any

    @cached_property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def identity(self) -> SigningIdentity:
        return SigningIdentity(self.der, (root().der,), self.key)

    @property
    def decryption_key(self) -> DecryptionKey:
        return DecryptionKey(self.der, self.key)

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Certificate and key as PEM, for other programs."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        key.write_bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate, key


@lru_cache
def person(kind: str, name: str = "anna") -> Person:
    """The person of this name with a key of this kind, the same for the whole run."""
    return issue(KINDS[kind](), f"{name}@contoso.example")


@lru_cache
def root() -> Person:
    """Who has issued them all: RSA, which every program can check."""
    key = rsa.generate_private_key(65537, 2048)
    name = _name("Contoso Mail CA")
    builder = _builder(name, name, key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(True, None), True)
    return Person(builder.add_extension(_usage("key_cert_sign", "crl_sign"), True).sign(key, hashes.SHA256()), key)


def issue(key: Any, address: str, *uses: str, key_identifier: bool = True) -> Person:
    """A certificate for this key; its uses are those of its kind if none are given."""
    public = key.public_key()
    builder = _builder(_name(address.partition("@")[0]), _name("Contoso Mail CA"), public, key_identifier)
    uses = uses or _uses(key)
    builder = builder.add_extension(_usage(*uses), True)
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.RFC822Name(address)]), False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False)
    return Person(builder.sign(root().key, hashes.SHA256()), key)


def issue_pss(key: rsa.RSAPrivateKey, address: str) -> Person:
    """A certificate that was itself signed with PSS, as the German energy market wants it."""
    builder = _builder(_name(address.partition("@")[0]), _name("Contoso Mail CA"), key.public_key())
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    return Person(builder.sign(root().key, hashes.SHA256(), rsa_padding=pss), key)


def _uses(key: Any) -> tuple[str, ...]:
    if isinstance(key, rsa.RSAPrivateKey):
        return ("digital_signature", "key_encipherment")
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return ("digital_signature", "key_agreement")
    if isinstance(key, x25519.X25519PrivateKey):
        return ("key_agreement",)
    if isinstance(key, mlkem.MLKEM768PrivateKey | mlkem.MLKEM1024PrivateKey):
        return ("key_encipherment",)
    return ("digital_signature",)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: Any, key_identifier: bool = True
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGAN - timedelta(days=1))
        .not_valid_after(BEGAN + timedelta(days=90))
    )
    if key_identifier:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
    return builder


def _usage(*uses: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{use: use in uses for use in USES})


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
