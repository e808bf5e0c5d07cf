"""Fetches MTA-STS policies by HTTPS with aiohttp (ports.PolicyFetcher), as strictly as RFC 8461 §3.3 demands.

aiohttp is imported at the first fetch: it takes long to load, and most mail needs none.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

from mta.adapters.https_client import connector, hang_up, tls_context
from mta.errors import PolicyNotFetched
from mta.model.reporting import TlsResult
from mta.model.tls import TrustAnchors
from mta.ports import Resolver
from mta.rfc.mtasts.parse import MOST_OCTETS

if TYPE_CHECKING:
    import aiohttp

PATIENCE = 60.0  # seconds in all; RFC 8461 §3.3 suggests a minute
PIECE = 8192
HTTPS = 443


class HttpsPolicyFetcher:
    """One GET a policy: the certificate judged by `ca` (None: the system's), no redirects, text/plain, 64 KiB."""

    def __init__(
        self, resolver: Resolver, ca: TrustAnchors | None = None, port: int = HTTPS, *, patience: float = PATIENCE
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

        authority = host if self._port == HTTPS else f"{host}:{self._port}"
        # The domain is a stranger's, and so is where its policy host leads. Another port is for tests.
        way = connector(self._resolver, self._tls(), public=self._port == HTTPS)
        async with (
            aiohttp.ClientSession(connector=way, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as web,
            web.get(
                f"https://{authority}/.well-known/mta-sts.txt",
                allow_redirects=False,  # RFC 8461 §3.3: redirects MUST NOT be followed
                headers={"Accept": "text/plain", "Accept-Encoding": "identity", "User-Agent": "mta"},
            ) as answer,
        ):
            try:
                return await _body(answer)
            finally:
                hang_up(answer)

    def _tls(self) -> ssl.SSLContext:
        """Certificates as in any browser: RFC 8461 §3.3, with the name in subjectAltName."""
        if self._context is None:
            self._context = tls_context(self._ca)
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
