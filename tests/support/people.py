"""Certificates of people for tests of the directory, and stand-ins for its sources and its judge."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from mta.adapters.pki import KEY_USAGES, Authority, Issued, PrivateKey, make_key
from mta.model.address import Mailbox
from mta.model.directory import Candidate, SourceAnswer, SourceStatus, TrustRung
from mta.model.tls import PathFault, PathVerdict
from mta.rfc.smtp.address import parse_mailbox
from tests.support.pki import NOW, authority

BOB = "bob@fabrikam.example"
EPOCH = NOW.timestamp()


@lru_cache(16)
def key(kind: str = "ec-p256") -> PrivateKey:
    """A key of this kind, the same for the whole run: making one is what costs."""
    return make_key(kind)


@dataclass(frozen=True)
class Person:
    """What a certificate shall say; the defaults fit bob."""

    emails: Sequence[str] = (BOB,)
    utf8_mailboxes: Sequence[str] = ()
    dns_names: Sequence[str] = ()
    subject_email: str = ""
    begins: datetime = NOW - timedelta(days=30)
    ends: datetime = NOW + timedelta(days=30)
    kind: str = "ec-p256"
    usages: Sequence[str] | None = ("digital_signature", "key_agreement", "key_encipherment")
    purposes: Sequence[str] | None = (ExtendedKeyUsageOID.EMAIL_PROTECTION.dotted_string,)
    ca: bool = False
    lists: Sequence[str] = ()
    responders: Sequence[str] = ()
    extra: Sequence[tuple[x509.ExtensionType, bool]] = ()
    issuer: Authority | None = field(default_factory=lambda: authority("People CA"))
    name: str = "Bob"


def certificate(person: Person | None = None, **wishes: Any) -> x509.Certificate:
    """The certificate of a person, of wishes or as the defaults have it; signed by itself without an issuer."""
    person = person or Person(**wishes)
    holder = key(person.kind)
    names = [x509.NameAttribute(NameOID.COMMON_NAME, person.name)]
    if person.subject_email:
        names.append(x509.NameAttribute(NameOID.EMAIL_ADDRESS, person.subject_email))
    subject = x509.Name(names)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(person.issuer.certificate.subject if person.issuer else subject)
        .public_key(holder.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(person.begins)
        .not_valid_after(person.ends)
    )
    for value, critical in (*_extensions(person), *person.extra):
        builder = builder.add_extension(value, critical=critical)
    return builder.sign(person.issuer.key if person.issuer else holder, hashes.SHA256())  # type: ignore[arg-type]


def der(person: Person | None = None, **wishes: Any) -> bytes:
    """The same as octets."""
    return certificate(person, **wishes).public_bytes(Encoding.DER)


def issued(one: bytes) -> Issued:
    """A certificate as the helpers for lists and responders want it."""
    return Issued(x509.load_der_x509_certificate(one), key("ec-p256"))


def pem(*ders: bytes) -> bytes:
    """Certificates as a PEM file."""
    return b"".join(x509.load_der_x509_certificate(one).public_bytes(Encoding.PEM) for one in ders)


def _extensions(person: Person) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = [(x509.BasicConstraints(ca=person.ca, path_length=None), True)]
    general: list[x509.GeneralName] = [
        *(x509.RFC822Name(one) for one in person.emails),
        *(x509.DNSName(one) for one in person.dns_names),
        *(
            x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.5.7.8.9"), b"\x0c" + bytes([len(raw)]) + raw)
            for raw in (one.encode() for one in person.utf8_mailboxes)
        ),
    ]
    if general:
        found.append((x509.SubjectAlternativeName(general), False))
    if person.usages is not None:
        found.append((x509.KeyUsage(**{usage: usage in person.usages for usage in KEY_USAGES}), True))
    if person.purposes is not None:
        found.append((x509.ExtendedKeyUsage([x509.ObjectIdentifier(one) for one in person.purposes]), False))
    if person.lists:
        points = [
            x509.DistributionPoint([x509.UniformResourceIdentifier(one)], None, None, None) for one in person.lists
        ]
        found.append((x509.CRLDistributionPoints(points), False))
    if person.responders:
        access = [
            x509.AccessDescription(AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier(one))
            for one in person.responders
        ]
        found.append((x509.AuthorityInformationAccess(access), False))
    return found


def mailbox(text: str = BOB) -> Mailbox:
    """The mailbox written so."""
    return parse_mailbox(text)


def candidate(certificate_der: bytes | None = None, **fields: Any) -> Candidate:
    """A candidate for bob that a folder might have."""
    known = {"source": "folder", "rung": TrustRung.MANUAL, "found_for": BOB, **fields}
    return Candidate(certificate_der if certificate_der is not None else der(), **known)


class FakeSource:
    """A source that knows what it is told. `down`: why it does not answer; `gate`: it waits for this to be set."""

    def __init__(self, name: str, rung: TrustRung, *ders: bytes, keeps: bool = True, **fields: Any) -> None:
        self.name, self.rung, self.keeps = name, rung, keeps
        self.down = ""
        self.gate: asyncio.Event | None = None
        self.asked: list[str] = []
        self.closed = self.refreshed = False
        self.associations: tuple[Any, ...] = ()
        self.candidates = [candidate(one, **{"source": name, "rung": rung, **fields}) for one in ders]

    async def find(self, wanted: Mailbox) -> SourceAnswer:
        self.asked.append(wanted.key)
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            return SourceAnswer(SourceStatus.DOWN, detail=self.down)
        status = SourceStatus.FOUND if self.candidates or self.associations else SourceStatus.NONE
        return SourceAnswer(status, tuple(self.candidates), self.associations)

    async def refresh(self) -> None:
        self.refreshed = True

    async def close(self) -> None:
        self.closed = True


class FakeJudge:
    """Believes everybody but those of whom it was told a fault."""

    def __init__(self, **_: Any) -> None:
        self.faults: dict[bytes, str] = {}
        self.asked = 0

    async def judge(self, certificate: bytes, others: Sequence[bytes], purpose: str, now: float) -> PathVerdict:
        self.asked += 1
        return PathVerdict(self.faults.get(certificate, PathFault.NONE), "as told")


class StillClock:
    """A clock that moves when it is told."""

    def __init__(self, epoch: float = EPOCH) -> None:
        self.epoch = epoch

    def now(self) -> float:
        return self.epoch

    def monotonic(self) -> float:
        return self.epoch
