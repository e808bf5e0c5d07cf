"""What the TLSA records of a host demand, and whether its certificate is what they say (RFC 7671, RFC 7672)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from hashlib import sha256

from mta.errors import ConfigurationError
from mta.model.tls import CertificateFacts, TlsFacts, TrustAnchors
from mta.model.word import Word
from mta.policy.certificate import CertificateDemand, judge_certificate
from mta.policy.decision import Reason
from mta.ports import ChainVerifier, TlsaRecord
from mta.rfc.dane.match import end_entity, trust_anchors
from mta.rfc.dane.parse import words


class DaneState(Enum):
    """What was found of a host's TLSA records."""

    OFF = "off"  # nobody asked
    NONE = "none"  # DNSSEC proves that there are none
    INSECURE = "insecure"  # the host's names are not signed: whatever stands there proves nothing
    USABLE = "usable"
    UNUSABLE = "unusable"  # there are some, and none that we may use
    UNKNOWN = "unknown"  # bogus, SERVFAIL, no answer


_WORDS = {DaneState.UNKNOWN: Word.DANE_UNKNOWN, DaneState.UNUSABLE: Word.DANE_UNUSABLE}


@dataclass(frozen=True, slots=True)
class DaneFinding:
    """TLSA records as they count for one host.

    `base` is the TLSA base domain (RFC 7672 §2.2.2). `records` are the usable ones, `unusable` says in words why the
    others are not. `names` are those a DANE-TA(2) path may be for. `named` is whether the host's name itself came by
    a secure way: by contract, or by signed MX records. `detail`: why nothing is known.
    """

    state: DaneState
    base: str = ""
    records: tuple[TlsaRecord, ...] = ()
    unusable: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    named: bool = False
    detail: str = ""

    @property
    def told(self) -> tuple[str, ...]:
        """The usable records for people."""
        return tuple(words(record) for record in self.records)

    @property
    def word(self) -> Word:
        """Why a host is not asked, for machines."""
        return _WORDS.get(self.state, Word.DANE_REQUIRED)

    @property
    def story(self) -> str:
        """The same for people."""
        match self.state:
            case DaneState.UNKNOWN:
                return f"whether it has TLSA records is not to be had: {self.detail}"
            case DaneState.UNUSABLE:
                return f"the contract demands DANE, no TLSA record of {self.base} is usable: {'; '.join(self.unusable)}"
            case DaneState.USABLE:
                return "the contract demands DANE, the MX records that name it are not signed"
        lack = "has no TLSA records" if self.state is DaneState.NONE else "has no signed DNS records"
        return f"the contract demands DANE, it {lack}"


NOT_ASKED = DaneFinding(DaneState.OFF)


@dataclass(frozen=True, slots=True)
class DaneDemand:
    """One of `records` must hold of the certificate. Part of a requirement, therefore hashable."""

    base: str
    records: tuple[TlsaRecord, ...]
    names: tuple[str, ...]


def judge_dane(demand: DaneDemand, tls: TlsFacts | None, verifier: ChainVerifier, now: float) -> tuple[Reason, ...]:
    """Why the peer's certificate is not what the TLSA records say; empty: it is.

    A DANE-EE(3) match ends the question: neither names nor dates nor issuers count (RFC 7672 §3.1.1). For DANE-TA(2)
    the chain must lead to the anchor, be valid now and name the host (§3.1.2).
    """
    if tls is None or tls.leaf is None:
        why = "the connection has no TLS" if tls is None else "the host showed no certificate"
        return (Reason(Word.NO_CERTIFICATE, f"the TLSA records of {demand.base} demand one, {why}"),)
    if end_entity(demand.records, tls.chain) is not None:
        return ()
    anchors = trust_anchors(demand.records, tls.chain)
    if not anchors:
        return (_mismatch(demand, tls.leaf),)
    store = TrustAnchors(f"the TLSA records of {demand.base}", anchors, sha256(b"".join(anchors)).hexdigest())
    try:
        return judge_certificate(CertificateDemand(demand.names, store), tls, verifier, now)
    except ConfigurationError as error:  # a record holds what OpenSSL cannot read
        return (
            Reason(
                Word.CERTIFICATE_TLSA, f"a TLSA record of {demand.base} cannot be used: {'; '.join(error.problems)}"
            ),
        )


def _mismatch(demand: DaneDemand, leaf: CertificateFacts) -> Reason:
    expected = " or ".join(words(record) for record in demand.records)
    shown = f"certificate {leaf.sha256} with key {leaf.spki_sha256}"
    return Reason(Word.CERTIFICATE_TLSA, f"no TLSA record of {demand.base} matches ({expected}), seen {shown}")
