"""What `mta smime` works with: certificates and keys in files, and a judge of certificates with given anchors."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

from mta.model.tls import PathFault, PathVerdict, TrustAnchors
from mta.ports import CertificateJudge, ChainVerifier, OwnCertificate
from mta.rfc.pkix.certificate import certificate_facts
from mta.rfc.pkix.person import ANY_USAGE, EMAIL_PROTECTION, person_facts

_SIGNING = frozenset({"digitalSignature", "nonRepudiation"})


def read_certificates(paths: Sequence[str]) -> tuple[bytes, ...]:
    """Every certificate in these files. Raises UsageError."""
    from mta.adapters.smime_files import read_certificates as read

    return read(paths)


def read_own(certificates: Sequence[str], keys: Sequence[str], password: str) -> tuple[OwnCertificate, ...]:
    """Private keys with their certificates. Raises UsageError."""
    from mta.adapters.smime_files import read_own as read

    return read(certificates, keys, password)


def anchored_judge(anchors: Sequence[bytes]) -> CertificateJudge:
    """A judge that believes what leads to one of these certificates."""
    from mta.adapters.tls.chain import OpenSslChainVerifier

    digest = hashlib.sha256(b"".join(anchors)).hexdigest()
    return _ChainJudge(OpenSslChainVerifier(), TrustAnchors("--trust", tuple(anchors), digest))


class _ChainJudge:
    """Paths by OpenSSL, usage by what the certificate says; nothing is asked of the network."""

    def __init__(self, verifier: ChainVerifier, anchors: TrustAnchors) -> None:
        self._verifier = verifier
        self._anchors = anchors

    async def judge(
        self, certificate: bytes, others: Sequence[bytes], purpose: Literal["sign", "encrypt"], now: float
    ) -> PathVerdict:
        """Whether the certificate leads to an anchor, and may do `purpose`."""
        try:
            person = person_facts(certificate)
            chain = [certificate_facts(der) for der in dict.fromkeys((certificate, *others))]
        except ValueError as error:
            return PathVerdict(PathFault.INVALID, str(error))
        if person.purposes is not None and not {EMAIL_PROTECTION, ANY_USAGE} & set(person.purposes):
            return PathVerdict(PathFault.USAGE, "the certificate is not for e-mail")
        if purpose == "sign" and person.key_usage is not None and not _SIGNING & person.key_usage:
            return PathVerdict(PathFault.USAGE, "the certificate is not for signing")
        return self._verifier.verify(chain, self._anchors, now)
