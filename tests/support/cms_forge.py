"""SignedData and envelopes as nobody should write them, properly signed all the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding

from mta.rfc.smime import algorithms as names
from mta.rfc.smime import der
from mta.rfc.smime.ber import read
from mta.rfc.smime.party import party
from tests.support.smime import ENTITY, Person, person

SHA256 = der.algorithm("2.16.840.1.101.3.4.2.1")
RSA = der.algorithm(names.RSA, der.NULL)


def attribute(oid: str, *values: bytes) -> bytes:
    return der.sequence(der.oid(oid), der.element(0x31, *values))


def content_type(oid: str = names.DATA) -> bytes:
    return attribute(names.CONTENT_TYPE, der.oid(oid))


def message_digest(content: bytes = ENTITY, hashed: str = "sha256") -> bytes:
    return attribute(
        names.MESSAGE_DIGEST, der.octet_string(hashlib.new(hashed.replace("sha3-", "sha3_"), content).digest())
    )


PROPER = (content_type(), message_digest())


@dataclass(frozen=True)
class Forgery:
    """What goes into it; `attributes` None: the content itself is signed."""

    signer: Person = field(default_factory=lambda: person("rsa"))
    content: bytes = ENTITY
    type: str = names.DATA
    attributes: Sequence[bytes] | None = PROPER
    unsigned: Sequence[bytes] = ()
    digest: bytes = SHA256
    announced: Sequence[bytes] | None = None
    algorithm: bytes = RSA
    hash: hashes.HashAlgorithm = field(default_factory=hashes.SHA256)
    padding: Any = field(default_factory=padding.PKCS1v15)
    signature: bytes | None = None
    opaque: bool = True
    certificates: Sequence[bytes] | None = None
    identifier: bytes | None = None
    times: int = 1

    def but(self, **changes: Any) -> Forgery:
        return replace(self, **changes)

    def der(self) -> bytes:
        inner = der.sequence(
            der.oid(self.type),
            der.explicit(0, der.octet_string(self.content)) if self.opaque else b"",
        )
        certificates = [self.signer.der] if self.certificates is None else self.certificates
        signed = der.sequence(
            der.integer(1),
            der.set_of([self.digest] if self.announced is None else self.announced),
            inner,
            der.explicit(0, *certificates) if certificates else b"",
            der.element(0x31, *[self._info()] * self.times),
        )
        return der.sequence(der.oid(names.SIGNED_DATA), der.explicit(0, signed))

    def _info(self) -> bytes:
        attributes = None if self.attributes is None else der.element(0x31, *self.attributes)
        covered = self.content if attributes is None else attributes
        signature = self.signature
        if signature is None:
            curve = isinstance(self.signer.key, ec.EllipticCurvePrivateKey)
            how = (ec.ECDSA(self.hash),) if curve else (self.padding, self.hash)
            signature = self.signer.key.sign(covered, *how)
        return der.sequence(
            der.integer(1),
            self.identifier or party(self.signer.der).issuer_and_serial,
            self.digest,
            b"" if attributes is None else b"\xa0" + attributes[1:],
            self.algorithm,
            der.octet_string(signature),
            der.explicit(1, *self.unsigned) if self.unsigned else b"",
        )


def with_key_algorithm(certificate: bytes, old: bytes, new: bytes) -> bytes:
    """The certificate with another algorithm before its key: its own signature is wrong now, which is no matter."""
    tbs, *rest = read(certificate).children()
    fields = [child.raw for child in tbs.children()]
    algorithm, bits = (child.raw for child in list(tbs.children())[6].children())
    assert algorithm == old
    fields[6] = der.sequence(new, bits)
    return der.sequence(der.sequence(*fields), *(child.raw for child in rest))


def certificates_only(*certificates: bytes) -> bytes:
    """Signed data that nobody signs and that carries certificates (RFC 8551 §3.8)."""
    parts = (der.integer(1), der.set_of([]), der.sequence(der.oid(names.DATA)), der.explicit(0, *sorted(certificates)))
    return der.sequence(der.oid(names.SIGNED_DATA), der.explicit(0, der.sequence(*parts, der.set_of([]))))
