"""Fetches MTA-STS policies by HTTPS with aiohttp (ports.PolicyFetcher), as strictly as RFC 8461 §3.3 demands.

aiohttp is imported at the first fetch: it takes long to load, and most mail needs none.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

from mta.errors import PolicyNotFetched
from mta.model.reporting import TlsResult
from mta.model.tls import TrustAnchors
from mta.ports import Resolver
from mta.rfc.mtasts.parse import MOST_OCTETS

if TYPE_CHECKING:
    import aiohttp

PATIENCE = 60.0  # seconds in all; RFC 8461 §3.3 suggests a minute
PIECE = 8192


class HttpsPolicyFetcher:
    """One GET a policy: the certificate judged by `ca` (None: the system's), no redirects, text/plain, 64 KiB."""

    def __init__(
        self, resolver: Resolver, ca: TrustAnchors | None = None, port: int = 443, *, patience: float = PATIENCE
    ) -> None:
        self._resolver = resolver
        self._ca = ca
        self._port = port
        self._patience = patience
        self._context: ssl.SSLContext | None = None

    async def fetch(self, domain: str) -> bytes:
        """The policy file of `domain`. Raises PolicyNotFetched."""
        import aiohttp

        try:
            async with asyncio.timeout(self._patience):
                return await self._get(f"mta-sts.{domain}")
        except TimeoutError:
            raise PolicyNotFetched(TlsResult.STS_FETCH_ERROR, f"no answer within {self._patience:g} s") from None
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError, ssl.SSLError) as error:
            raise PolicyNotFetched(TlsResult.STS_WEBPKI_INVALID, str(error)) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise PolicyNotFetched(TlsResult.STS_FETCH_ERROR, str(error) or type(error).__name__) from error

    async def _get(self, host: str) -> bytes:
        import aiohttp

        place = host if self._port == 443 else f"{host}:{self._port}"
        connector = aiohttp.TCPConnector(
            ssl=self._tls(), resolver=_names(self._resolver), force_close=True, use_dns_cache=False
        )
        async with (
            aiohttp.ClientSession(
                connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            ) as web,
            web.get(
                f"https://{place}/.well-known/mta-sts.txt",
                allow_redirects=False,  # RFC 8461 §3.3: redirects MUST NOT be followed
                headers={"Accept": "text/plain", "Accept-Encoding": "identity", "User-Agent": "mta"},
            ) as answer,
        ):
            try:
                return await _body(answer)
            finally:
                _hang_up(answer)

    def _tls(self) -> ssl.SSLContext:
        """Certificates as in any browser: RFC 8461 §3.3, with the name in subjectAltName."""
        if self._context is None:
            explicit = self._ca is not None and not self._ca.is_system
            ders = b"".join(self._ca.certificates) if self._ca is not None and explicit else None
            self._context = ssl.create_default_context(cadata=ders)
            self._context.minimum_version = ssl.TLSVersion.TLSv1_2
            self._context.hostname_checks_common_name = False
        return self._context


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    if answer.status != 200:
        raise ValueError(f"the policy host answered {answer.status}")
    if answer.content_type.lower() != "text/plain":
        raise ValueError(f"the policy is of type {answer.content_type[:60]!r} instead of text/plain")
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ValueError("the policy is compressed, which nobody asked for")
    body = bytearray()
    async for piece in answer.content.iter_chunked(PIECE):
        body += piece
        if len(body) > MOST_OCTETS:
            raise ValueError(f"the policy has more than {MOST_OCTETS} octets")
    return bytes(body)


def _hang_up(answer: aiohttp.ClientResponse) -> None:
    """At once: an orderly end of TLS would read, and throw away, all that an endless body still sends."""
    if answer.connection is not None and answer.connection.transport is not None:
        answer.connection.transport.abort()


def _names(resolver: Resolver) -> Any:
    """Our own look-ups for aiohttp, so that one configuration says where names are asked."""
    from aiohttp.abc import AbstractResolver, ResolveResult

    class Names(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            answer = await resolver.addresses(host)
            if not answer.addresses:
                raise OSError(f"{host}: {answer.detail or 'has no address'}")
            return [_result(host, address, port) for address in answer.addresses]

        async def close(self) -> None:
            return

    def _result(host: str, address: str, port: int) -> ResolveResult:
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=flags)

    return Names()
