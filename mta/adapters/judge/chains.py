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
        for certificate in (one for group in groups for one in group):
            known = self._by_subject.setdefault(certificate.subject.hashable, [])
            if all(one.dump() != certificate.dump() for one in known):
                known.append(certificate)

    def of(self, certificate: Certificate) -> Iterator[Certificate]:
        """Those that may have issued this one."""
        wanted = certificate.authority_key_identifier
        for one in self._by_subject.get(certificate.issuer.hashable, ()):
            if wanted is None or one.key_identifier is None or one.key_identifier == wanted:
                yield one


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
            seen = {one.dump() for one in way}
            waiting.extend((*way, one) for one in issuers.of(way[-1]) if one.dump() not in seen)
