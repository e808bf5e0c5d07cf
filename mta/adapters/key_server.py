"""Asks somebody's key server and issuer (ports.vault_client.KeyServer): one request, no redirects, everything bounded.

aiohttp is imported at the first request: it takes long to load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from mta.adapters.https_client import hang_up, tls_context
from mta.errors import KeyAway

_PATIENCE = 20.0  # seconds for one request
_LARGEST = 1 << 20  # octets of an answer


class HttpKeyServer:
    """By HTTPS with the system's certificate authorities, or plain to this machine."""

    async def ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the answer. Raises KeyAway."""
        import aiohttp

        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._ask(method, url, headers, body)
        except TimeoutError:
            raise KeyAway(f"{url}: no answer within {_PATIENCE:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise KeyAway(f"{url}: {error or type(error).__name__}"[:500]) from None

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, bytes]:
        import aiohttp

        way = aiohttp.TCPConnector(ssl=tls_context(None), force_close=True)
        async with (
            aiohttp.ClientSession(connector=way, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as web,
            web.request(
                method, url, data=body or None, allow_redirects=False, headers={"User-Agent": "mta", **headers}
            ) as answer,
        ):
            read = bytearray()
            async for piece in answer.content.iter_chunked(65_536):
                read += piece
                if len(read) > _LARGEST:
                    hang_up(answer)
                    raise ValueError(f"an answer of more than {_LARGEST} octets")
            return answer.status, bytes(read)
