"""Asks witnesses of the log by HTTPS (ports.vault_log.WitnessDoor): one POST, no redirects, everything bounded.

aiohttp is imported at the first request: it takes long to load, and most vaults have no witness.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mta.adapters.https_client import connector, hang_up, tls_context
from mta.errors import WitnessAway
from mta.model.tls import TrustAnchors
from mta.ports import Resolver
from mta.ports.vault_log import WitnessAnswer

PATIENCE = 5.0  # seconds for one request
_LARGEST = 1 << 18  # octets of an answer


class HttpsWitnesses:
    """`resolver` gives the one in force, when it is first needed."""

    def __init__(self, resolver: Callable[[], Resolver], *, patience: float = PATIENCE) -> None:
        self._resolver = resolver
        self._patience = patience

    async def ask(self, url: str, ca: TrustAnchors | None, request: bytes) -> WitnessAnswer:
        """The answer. Raises WitnessAway."""
        import aiohttp

        try:
            async with asyncio.timeout(self._patience):
                return await self._post(url, ca, request)
        except TimeoutError:
            raise WitnessAway(f"{url}: no answer within {self._patience:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise WitnessAway(f"{url}: {error or type(error).__name__}"[:500]) from None

    async def _post(self, url: str, ca: TrustAnchors | None, request: bytes) -> WitnessAnswer:
        import aiohttp

        way = connector(self._resolver(), tls_context(ca))
        async with (
            aiohttp.ClientSession(connector=way, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as web,
            web.post(
                url,
                data=request,
                allow_redirects=False,
                headers={"Content-Type": "application/octet-stream", "User-Agent": "mta"},
            ) as answer,
        ):
            body = bytearray()
            async for piece in answer.content.iter_chunked(8192):
                body += piece
                if len(body) > _LARGEST:
                    hang_up(answer)
                    raise ValueError(f"an answer of more than {_LARGEST} octets")
            return WitnessAnswer(answer.status, answer.headers.get("Content-Type", ""), bytes(body))
