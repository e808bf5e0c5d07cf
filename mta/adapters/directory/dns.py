"""Certificates in DNS (ports.CertificateSource): SMIMEA records (RFC 8162) and CERT records (RFC 4398)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mta.model.address import Mailbox
from mta.model.directory import Association, Candidate, SourceAnswer, SourceStatus, TrustRung
from mta.ports import CertAnswer, DnsStatus, Resolver, TlsaAnswer
from mta.rfc.dane.parse import Usage
from mta.rfc.smimea.association import fault, holds_certificate
from mta.rfc.smimea.name import cert_name, smimea_names

MOST_RECORDS = 20  # of one name; the rest is noted

Names = Callable[[], Resolver]  # the resolver in force: a reload brings a new one


class SmimeaSource:
    """SMIMEA records. What DNS does not prove is not there at all (RFC 8162 §1: DNSSEC is required)."""

    name = "smimea"
    rung = TrustRung.ANCHORED  # a certificate found so may lead to an anchor as well
    keeps = False  # the resolver keeps answers by their own times

    def __init__(self, names: Names) -> None:
        self._names = names

    async def find(self, mailbox: Mailbox) -> SourceAnswer:
        """What the domain says of this mailbox: under its own spelling, else under small letters."""
        if not _is_name(mailbox.ascii_domain):
            return SourceAnswer(SourceStatus.NONE)
        notes: list[str] = []
        for name in smimea_names(mailbox):
            answer = await self._names().smimea(name)
            if answer.status is DnsStatus.TEMPORARY:
                return SourceAnswer(SourceStatus.DOWN, detail=answer.detail or f"SMIMEA of {name}")
            if answer.records and not answer.secure:
                notes.append(f"the SMIMEA records of {name} are not proven by DNSSEC")
            elif answer.records:
                return self._read(name, answer, mailbox)
        return SourceAnswer(SourceStatus.NONE, notes=tuple(notes))

    async def refresh(self) -> None:
        """There is nothing to look after."""

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _read(self, name: str, answer: TlsaAnswer, mailbox: Mailbox) -> SourceAnswer:
        notes: list[str] = []
        usable = list(_usable(name, answer, notes))
        # What a record of usage 3 holds is the mailbox' certificate by the word of its domain, whatever it names.
        candidates = tuple(
            Candidate(
                der=record.data,
                source=self.name,
                rung=TrustRung.SECURE_DNS if record.usage == Usage.DANE_EE else TrustRung.ANCHORED,
                found_for=mailbox.key,
                stated=record.usage == Usage.DANE_EE,
                place=name,
            )
            for record in usable
            if holds_certificate(record)
        )
        others = tuple(record for record in usable if record.usage in (Usage.DANE_EE, Usage.DANE_TA))
        status = SourceStatus.FOUND if usable else SourceStatus.NONE
        return SourceAnswer(status, candidates, others, notes=tuple(notes))


def _usable(name: str, answer: TlsaAnswer, notes: list[str]) -> Iterator[Association]:
    for record in answer.records[:MOST_RECORDS]:
        association = Association(record.usage, record.selector, record.matching, record.data)
        wrong = fault(association)
        if wrong:
            notes.append(f"a record of {name}: {wrong}")
        else:
            yield association
    if len(answer.records) > MOST_RECORDS:
        notes.append(f"{name} has more than {MOST_RECORDS} records")


class CertSource:
    """CERT records of type PKIX, of the mailbox and of its domain; in an insecure zone they must lead to an anchor."""

    name = "cert"
    rung = TrustRung.ANCHORED
    keeps = False

    def __init__(self, names: Names) -> None:
        self._names = names

    async def find(self, mailbox: Mailbox) -> SourceAnswer:
        """What stands under `local.domain`, and under the domain itself."""
        if not _is_name(mailbox.ascii_domain):
            return SourceAnswer(SourceStatus.NONE)
        places = ((cert_name(mailbox), mailbox.key), (mailbox.ascii_domain, f"@{mailbox.ascii_domain}"))
        candidates: list[Candidate] = []
        for name, found_for in places:
            if not name:
                continue
            answer = await self._names().cert(name)
            if answer.status is DnsStatus.TEMPORARY:
                return SourceAnswer(SourceStatus.DOWN, detail=answer.detail or f"CERT of {name}")
            candidates += self._candidates(name, found_for, answer)
        return SourceAnswer(SourceStatus.FOUND if candidates else SourceStatus.NONE, tuple(candidates))

    async def refresh(self) -> None:
        """There is nothing to look after."""

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _candidates(self, name: str, found_for: str, answer: CertAnswer) -> Iterator[Candidate]:
        rung = TrustRung.SECURE_DNS if answer.secure else TrustRung.ANCHORED
        certificates = answer.certificates[:MOST_RECORDS]
        for der in certificates:
            others = tuple(certificate for certificate in certificates if certificate != der)
            yield Candidate(der, self.name, rung, found_for, chain=others, place=name)


def _is_name(domain: str) -> bool:
    """An address literal has no records."""
    return bool(domain) and not domain.startswith("[")
