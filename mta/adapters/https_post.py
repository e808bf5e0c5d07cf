"""Delivers a report by HTTPS (ports.ReportPoster): one POST, no redirects, everything bounded (RFC 8460 §5.4).

The URL is a stranger's. It may name a host of ours that trusts whoever comes from inside, so addresses that are not
public are refused unless the configuration permits them.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from mta.adapters.https_client import connector, hang_up, tls_context
from mta.ports import Posted, Resolver
from mta.rfc.tlsrpt.parse import url_problem

PATIENCE = 30.0  # seconds in all


class HttpsPoster:
    """`resolver` gives the one in force; `trust` stands in place of the system's certificate authorities."""

    def __init__(
        self, resolver: Callable[[], Resolver], trust: ssl.SSLContext | None = None, *, patience: float = PATIENCE
    ) -> None:
        self._resolver = resolver
        self._trust = trust
        self._patience = patience

    async def post(self, url: str, media_type: str, data: bytes, *, private: bool) -> Posted:
        """POST `data`; never raises."""
        if problem := url_problem(url, private=private):
            return Posted(False, problem)
        import aiohttp

        try:
            async with asyncio.timeout(self._patience):
                return await self._post(url, media_type, data, private)
        except TimeoutError:
            return Posted(False, f"no answer within {self._patience:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Posted(False, f"{type(error).__name__}: {error}"[:500])

    async def _post(self, url: str, media_type: str, data: bytes, private: bool) -> Posted:
        import aiohttp

        way = connector(self._resolver(), self._trust or tls_context(None), public=not private)
        async with (
            aiohttp.ClientSession(connector=way, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as web,
            web.post(
                url,
                data=data,
                allow_redirects=False,
                headers={"Content-Type": media_type, "User-Agent": "mta"},
            ) as answer,
        ):
            hang_up(answer)  # the status says it all
            return Posted(200 <= answer.status < 300, f"{answer.status} {(answer.reason or '')[:100]}".strip())
