"""Certificates that stand in the contract itself (ports.CertificateSource): kept in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from mta.adapters.directory.scan import keys
from mta.model.address import Mailbox
from mta.model.directory import Candidate, SourceAnswer, SourceStatus, TrustRung
from mta.rfc.pkix.person import person_facts

Placed = tuple[bytes, str]  # a certificate and the file it stands in


class FixedSource:
    """`addressed` are found by the addresses they name, `domains` by the pattern (`x`, `*.x`) they are written for."""

    name = "connector"
    rung = TrustRung.MANUAL
    keeps = False

    def __init__(self, addressed: Iterable[Placed], domains: Mapping[str, tuple[Placed, ...]]) -> None:
        self._domains = dict(domains)
        self._addressed: dict[str, list[Placed]] = {}
        for placed in addressed:
            for key in keys(person_facts(placed[0])):
                self._addressed.setdefault(key, []).append(placed)

    async def find(self, mailbox: Mailbox) -> SourceAnswer:
        """What the contract says of this mailbox."""
        candidates = tuple(self._candidates(mailbox))
        return SourceAnswer(SourceStatus.FOUND if candidates else SourceStatus.NONE, candidates)

    async def refresh(self) -> None:
        """There is nothing to look after."""

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _candidates(self, mailbox: Mailbox) -> Iterator[Candidate]:
        for der, source in self._addressed.get(mailbox.key, ()):
            yield Candidate(der, self.name, self.rung, mailbox.key, place=source)
        for der, source in self._of_domain(mailbox.ascii_domain):
            yield Candidate(der, self.name, self.rung, f"@{mailbox.ascii_domain}", stated=True, place=source)

    def _of_domain(self, domain: str) -> tuple[Placed, ...]:
        """Those of the longest pattern that the domain falls under; `*.x` is x's subdomains, not x."""
        certificates = self._domains.get(domain)
        while certificates is None and "." in domain:
            domain = domain.partition(".")[2]
            certificates = self._domains.get(f"*.{domain}")
        return certificates or ()
