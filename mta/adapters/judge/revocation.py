"""Asking whether one certificate was revoked: lists at hand, OCSP, then the lists that the certificate names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from mta.adapters.judge.fetch import Answer, Fetcher, FetchFailed
from mta.model.tls import CertificateFacts, RevocationList, RevocationState, RevocationStatus
from mta.rfc.pkix import crl as lists_of
from mta.rfc.pkix import ocsp as answers_of
from mta.rfc.pkix.certificate import UNREADABLE_ERRORS, read_certificate

PATIENCE = 10.0  # seconds for all that is asked about one certificate: mail waits for it
MOST_PLACES = 4  # URLs of one certificate that are asked
OF_A_SERIAL = 120  # octets of memory: a number of twenty octets, and its place in a set


@dataclass(slots=True)
class Search:
    """Asks about one certificate. `failed`: somebody who might have known did not answer."""

    lists: tuple[RevocationList, ...]
    fetcher: Fetcher
    now: float
    failed: bool = False

    async def ask(self, certificate: CertificateFacts, issuer: CertificateFacts) -> RevocationStatus:
        """Lists at hand, then OCSP, then the lists that the certificate names; all of it in bounded time."""
        status = lists_of.status(self.lists, certificate, issuer, self.now)
        if status.state != RevocationState.UNKNOWN:
            return status
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._ask_others(certificate, issuer, status.detail)
        except TimeoutError:  # what is under way goes on, and is there for the next who asks
            self.failed = True
            return RevocationStatus(RevocationState.UNKNOWN, f"{status.detail}; nobody answered within {PATIENCE:g} s")

    async def _ask_others(
        self, certificate: CertificateFacts, issuer: CertificateFacts, doubt: str
    ) -> RevocationStatus:
        doubts = [doubt]
        responders, points = _places(certificate.der)
        asking = [*((self._responder, url) for url in responders), *((self._point, url) for url in points)]
        for ask, url in asking:
            status = await ask(url, certificate, issuer)
            if status.state != RevocationState.UNKNOWN:
                return status
            doubts.append(status.detail)
        return RevocationStatus(RevocationState.UNKNOWN, "; ".join(doubts))

    async def _responder(self, url: str, certificate: CertificateFacts, issuer: CertificateFacts) -> RevocationStatus:
        def read(body: bytes) -> Answer:
            response = ocsp.load_der_ocsp_response(body)
            if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
                raise ValueError(f"the responder answered {response.response_status.name.lower()}")
            ends = [response.next_update_utc for response in response.responses if response.next_update_utc is not None]
            return Answer(body, len(body), _until(min(ends).timestamp() if ends else 0.0, self.now))

        answer = await self._get(url, read, _ocsp_request(certificate, issuer))
        if isinstance(answer, RevocationStatus):
            return answer
        return answers_of.status(answer, certificate, issuer, self.now)

    async def _point(self, url: str, certificate: CertificateFacts, issuer: CertificateFacts) -> RevocationStatus:
        answer = await self._get(url, lambda body: _read_lists(body, self.now))
        if isinstance(answer, RevocationStatus):
            return answer
        return lists_of.status(answer, certificate, issuer, self.now)

    async def _get(self, url: str, read: Callable[[bytes], Answer], body: bytes = b"") -> Any:
        """What was read, or a RevocationStatus that says why nothing was."""
        try:
            return await self.fetcher.fetch(url, body, read=read)
        except FetchFailed as error:
            self.failed = self.failed or error.allowed
            return RevocationStatus(RevocationState.UNKNOWN, str(error))


def _read_lists(body: bytes, now: float) -> Answer:
    lists = lists_of.read_lists(body)
    octets = sum(len(revocation_list.der) + OF_A_SERIAL * len(revocation_list.serials) for revocation_list in lists)
    return Answer(lists, octets, _until(min(revocation_list.next_update for revocation_list in lists), now))


def _until(next_update: float, now: float) -> float:
    """How long an answer is kept: until the next one comes, an hour where that is not said or past, a day at most."""
    left = next_update - now
    return min(left, 86_400.0) if left > 0 else 3600.0


def _places(der: bytes) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Where a certificate says that its revocation is known: OCSP responders, distribution points of lists."""
    responders: list[str] = []
    points: list[str] = []
    try:
        for extension in read_certificate(der).extensions:
            if isinstance(extension.value, x509.AuthorityInformationAccess):
                responders += _responders(extension.value)
            elif isinstance(extension.value, x509.CRLDistributionPoints):
                points += (str(name.value) for point in extension.value for name in point.full_name or ())
    except UNREADABLE_ERRORS:
        return (), ()
    return tuple(responders[:MOST_PLACES]), tuple(point for point in points if ":" in point)[:MOST_PLACES]


def _responders(value: x509.AuthorityInformationAccess) -> Iterator[str]:
    for access in value:
        named = isinstance(access.access_location, x509.UniformResourceIdentifier)
        if named and access.access_method == AuthorityInformationAccessOID.OCSP:
            yield str(access.access_location.value)


def _ocsp_request(certificate: CertificateFacts, issuer: CertificateFacts) -> bytes:
    """RFC 6960 §4.1.1, without a nonce (RFC 5019 §2.1.1): the answer can be kept. SHA-1 only names the certificate."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        read_certificate(certificate.der),
        read_certificate(issuer.der),
        SHA1(),  # noqa: S303 - what every responder knows (RFC 5019 §2.1.1)
    )
    return builder.build().public_bytes(Encoding.DER)
