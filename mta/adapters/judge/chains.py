"""Which ways may lead from a certificate to an anchor, by names and key identifiers alone; shortest first, bounded.

The library would try every way there is, and thirty certificates that a stranger has crosswise signed have more ways
than anybody can walk. It is given one way at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asn1crypto.x509 import Certificate

MOST_STEPS = 300  # certificates that are looked at
LONGEST = 8  # certificates between the first one and the anchor


class Issuers:
    """Certificates by what they call themselves."""

    def __init__(self, *groups: Iterable[Certificate]) -> None:
        self._by_subject: dict[str, list[Certificate]] = {}
        for certificate in (member for group in groups for member in group):
            namesakes = self._by_subject.setdefault(certificate.subject.hashable, [])
            if all(namesake.dump() != certificate.dump() for namesake in namesakes):
                namesakes.append(certificate)

    def of(self, certificate: Certificate) -> Iterator[Certificate]:
        """Those that may have issued this one."""
        wanted = certificate.authority_key_identifier
        for issuer in self._by_subject.get(certificate.issuer.hashable, ()):
            if wanted is None or issuer.key_identifier is None or issuer.key_identifier == wanted:
                yield issuer


def chains(leaf: Certificate, issuers: Issuers, anchors: Issuers) -> Iterator[tuple[list[Certificate], Certificate]]:
    """Each way: the certificates between, from the leaf's issuer on, and the anchor."""
    waiting: deque[tuple[Certificate, ...]] = deque([(leaf,)])
    for _ in range(MOST_STEPS):
        if not waiting:
            return
        way = waiting.popleft()
        for anchor in anchors.of(way[-1]):
            yield list(way[1:]), anchor
        if len(way) <= LONGEST:
            passed = {certificate.dump() for certificate in way}
            waiting.extend((*way, issuer) for issuer in issuers.of(way[-1]) if issuer.dump() not in passed)
