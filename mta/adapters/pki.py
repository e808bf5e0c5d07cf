"""Makes throw-away PKIs: for the demo, for development and for tests. Never for production: keys are not protected.

ca = Authority("Fabrikam Root")
mail = ca.intermediate("Fabrikam Mail CA").issue(dns_names=["mail.fabrikam.example"])
chain_path, key_path = mail.write(folder, "mail.fabrikam.example")
ca.write(folder / "fabrikam-ca.pem")
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import TypedDict, Unpack

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

EKU = {
    "serverAuth": ExtendedKeyUsageOID.SERVER_AUTH,
    "clientAuth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "emailProtection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "codeSigning": ExtendedKeyUsageOID.CODE_SIGNING,
}
CURVES: dict[str, type[ec.EllipticCurve]] = {
    "ec-p256": ec.SECP256R1,
    "ec-p384": ec.SECP384R1,
    "ec-brainpool256": ec.BrainpoolP256R1,
}


class Wishes(TypedDict, total=False):
    """What a certificate shall say; anything left out is what a mail server's certificate has."""

    common_name: str  # default: the first name of any kind
    dns_names: Sequence[str]
    ips: Sequence[str]
    emails: Sequence[str]
    not_before: datetime  # default: yesterday
    not_after: datetime  # default: in 90 days
    eku: Sequence[str]  # words of EKU or dotted OIDs; default: serverAuth and clientAuth; empty: no extension
    key: str | PrivateKey  # `ec-p256` (default), `ec-p384`, `ec-brainpool256`, `rsa-2048`, `ed25519`, or a key


def make_key(kind: str | PrivateKey = "ec-p256") -> PrivateKey:
    """A new private key of this kind; a key that is one already is returned. Raises ValueError for unknown kinds."""
    if not isinstance(kind, str):
        return kind
    if kind in CURVES:
        return ec.generate_private_key(CURVES[kind]())
    if kind == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind.startswith("rsa-") and kind[4:].isdigit():
        return rsa.generate_private_key(65537, int(kind[4:]))
    raise ValueError(f"unknown kind of key {kind!r}: expected one of {', '.join(CURVES)}, rsa-BITS, ed25519")


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate with its key and the intermediates above it (the root left out)."""

    certificate: x509.Certificate
    key: PrivateKey
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def ders(self) -> tuple[bytes, ...]:
        """The certificate and its intermediates, as they travel in a handshake."""
        return tuple(each.public_bytes(Encoding.DER) for each in (self.certificate, *self.chain))

    @property
    def chain_pem(self) -> bytes:
        """The certificate and its intermediates."""
        return _pem(self.certificate, *self.chain)

    @property
    def key_pem(self) -> bytes:
        """The private key, PKCS #8, not encrypted."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def spki_pin(self) -> str:
        """`spki-sha256:BASE64`, as connectors.yaml writes it."""
        return spki_pin(self.certificate)

    @property
    def cert_pin(self) -> str:
        """`cert-sha256:HEX`, as connectors.yaml writes it."""
        return cert_pin(self.certificate)

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write `name.pem` (certificate and intermediates) and `name.key` (mode 0600); their paths in this order."""
        chain_path, key_path = folder / f"{name}.pem", folder / f"{name}.key"
        chain_path.write_bytes(self.chain_pem)
        _write_private(key_path, self.key_pem)
        return chain_path, key_path


class Authority:
    """A root CA, or an intermediate when another Authority made it."""

    def __init__(self, name: str, **wishes: Unpack[Wishes]) -> None:
        wishes = {"common_name": name, **wishes}
        key = make_key(wishes.get("key", "ec-p256"))
        self._hold(Issued(_sign(wishes, key, None, _authority_extensions()), key))

    def _hold(self, issued: Issued) -> None:
        self.certificate = issued.certificate
        self.key = issued.key
        self.chain = issued.chain

    def intermediate(self, name: str, **wishes: Unpack[Wishes]) -> Authority:
        """A CA below this one."""
        wishes = {"common_name": name, **wishes}
        key = make_key(wishes.get("key", "ec-p256"))
        certificate = _sign(wishes, key, self, _authority_extensions())
        below = Authority.__new__(Authority)
        below._hold(Issued(certificate, key, (certificate, *self.chain)))
        return below

    def issue(self, **wishes: Unpack[Wishes]) -> Issued:
        """A leaf certificate with its key."""
        key = make_key(wishes.get("key", "ec-p256"))
        return Issued(_sign(wishes, key, self, _leaf_extensions(wishes, key)), key, self.chain)

    def issue_expired(self, **wishes: Unpack[Wishes]) -> Issued:
        """A leaf that was valid until yesterday."""
        now = _now()
        past: Wishes = {"not_before": now - timedelta(days=30), "not_after": now - timedelta(days=1)}
        past.update(wishes)
        return self.issue(**past)

    def issue_early(self, **wishes: Unpack[Wishes]) -> Issued:
        """A leaf that becomes valid tomorrow."""
        now = _now()
        future: Wishes = {"not_before": now + timedelta(days=1), "not_after": now + timedelta(days=30)}
        future.update(wishes)
        return self.issue(**future)

    @property
    def der(self) -> bytes:
        """This CA's certificate."""
        return self.certificate.public_bytes(Encoding.DER)

    def write(self, path: Path) -> Path:
        """Write this CA's certificate as PEM: the file that `ca:` names."""
        path.write_bytes(_pem(self.certificate))
        return path


def self_signed(**wishes: Unpack[Wishes]) -> Issued:
    """A leaf certificate that nobody but itself vouches for."""
    key = make_key(wishes.get("key", "ec-p256"))
    return Issued(_sign(wishes, key, None, _leaf_extensions(wishes, key)), key)


def spki_pin(certificate: x509.Certificate) -> str:
    """`spki-sha256:BASE64` of a certificate's public key."""
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"spki-sha256:{base64.b64encode(hashlib.sha256(spki).digest()).decode()}"


def cert_pin(certificate: x509.Certificate) -> str:
    """`cert-sha256:HEX` of a certificate."""
    return f"cert-sha256:{certificate.fingerprint(hashes.SHA256()).hex()}"


# --- the certificate itself ------------------------------------------------------------------------------------

KEY_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)
Extensions = list[tuple[x509.ExtensionType, bool]]


def _sign(wishes: Wishes, key: PrivateKey, issuer: Authority | None, extensions: Extensions) -> x509.Certificate:
    now, subject = _now(), _name(_common_name(wishes))
    signing_key = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(wishes.get("not_before", now - timedelta(days=1)))
        .not_valid_after(wishes.get("not_after", now + timedelta(days=90)))
    )
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    authority_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(signing_key.public_key())
    builder = builder.add_extension(authority_id, critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signing_key, None if isinstance(signing_key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def _authority_extensions() -> Extensions:
    return [
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (_key_usage("key_cert_sign", "crl_sign", "digital_signature"), True),
    ]


def _leaf_extensions(wishes: Wishes, key: PrivateKey) -> Extensions:
    usages = ["digital_signature"]
    if isinstance(key, rsa.RSAPrivateKey):
        usages.append("key_encipherment")
    if isinstance(key, ec.EllipticCurvePrivateKey):
        usages.append("key_agreement")
    extensions: Extensions = [(x509.BasicConstraints(ca=False, path_length=None), True), (_key_usage(*usages), True)]
    purposes = [
        EKU.get(word) or x509.ObjectIdentifier(word) for word in wishes.get("eku", ("serverAuth", "clientAuth"))
    ]
    if purposes:
        extensions.append((x509.ExtendedKeyUsage(purposes), False))
    names = _general_names(wishes)
    if names:
        extensions.append((x509.SubjectAlternativeName(names), False))
    return extensions


def _general_names(wishes: Wishes) -> list[x509.GeneralName]:
    return [
        *(x509.DNSName(name) for name in wishes.get("dns_names", ())),
        *(x509.IPAddress(ip_address(address)) for address in wishes.get("ips", ())),
        *(x509.RFC822Name(address) for address in wishes.get("emails", ())),
    ]


def _key_usage(*usages: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{usage: usage in usages for usage in KEY_USAGES})


def _common_name(wishes: Wishes) -> str:
    names = (*wishes.get("dns_names", ()), *wishes.get("emails", ()), *wishes.get("ips", ()), "nobody")
    return wishes.get("common_name", names[0])


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def _pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def _write_private(path: Path, data: bytes) -> None:
    """Only the owner may read it, from the first moment on."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(data)
