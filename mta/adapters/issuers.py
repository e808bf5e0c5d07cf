"""Keys of other organisations' OpenID Connect issuers (ports.vault.IssuerKeys): found by discovery, kept for an hour.

aiohttp is imported at the first request: it takes long to load, and most sites need none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from mta.adapters.https_client import connector, hang_up, tls_context
from mta.errors import IssuerAway, JoseError, JsonError
from mta.ports import Clock, Resolver
from mta.rfc.jose.jwk import Jwk, read_jwks
from mta.rfc.json.read import read_object

_LIFE = 3600.0  # seconds
_AGAIN = 60.0  # seconds before an issuer is asked again because of a key that is not among its own
_PATIENCE = 10.0
_LARGEST = 1 << 18  # octets of an answer
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class _Kept:
    keys: tuple[Jwk, ...]
    since: float  # monotonic seconds


class IssuerKeySets:
    """By HTTPS; plain HTTP is for issuers on this machine alone. No redirects: an issuer's word is at its own place."""

    def __init__(self, resolver: Callable[[], Resolver], clock: Clock) -> None:
        self._resolver, self._clock = resolver, clock
        self._kept: dict[str, _Kept] = {}
        self._asking: dict[str, asyncio.Task[tuple[Jwk, ...]]] = {}

    async def keys(self, issuer: str, *, renewed: bool = False) -> tuple[Jwk, ...]:
        """The issuer's keys; `renewed`: what is kept lacks the wanted one. Raises IssuerAway."""
        kept, now = self._kept.get(issuer), self._clock.monotonic()
        if kept is not None and now - kept.since < (_AGAIN if renewed else _LIFE):
            return kept.keys
        task = self._asking.get(issuer)
        if task is None:
            task = self._asking[issuer] = asyncio.create_task(self._ask(issuer))
            task.add_done_callback(lambda _: self._asking.pop(issuer, None))
        return await asyncio.shield(task)

    async def _ask(self, issuer: str) -> tuple[Jwk, ...]:
        try:
            async with asyncio.timeout(_PATIENCE):
                told = read_object(await self._get(f"{issuer}/.well-known/openid-configuration"), _LARGEST)
                place = told.get("jwks_uri")
                if told.get("issuer") != issuer or not isinstance(place, str):  # OpenID Connect Discovery §4.3
                    raise IssuerAway(f"{issuer}: its configuration is of another issuer, or names no keys")
                keys = read_jwks(await self._get(place))
        except TimeoutError:
            raise IssuerAway(f"{issuer}: no answer within {_PATIENCE:g} s") from None
        except (JsonError, JoseError) as error:
            raise IssuerAway(f"{issuer}: {error}") from None
        self._kept[issuer] = _Kept(keys, self._clock.monotonic())
        return keys

    async def _get(self, url: str) -> bytes:
        import aiohttp

        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
            raise IssuerAway(f"{url}: issuers are asked by https")
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector(self._resolver(), tls_context(None)), trust_env=False, auto_decompress=False
                ) as session,
                session.get(url, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise IssuerAway(f"{url} answers {answer.status}")
                body = await _bounded(answer.content)
                if body is None:
                    hang_up(answer)
                    raise IssuerAway(f"{url} answers more than {_LARGEST} octets")
                return body
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise IssuerAway(f"{url}: {error or type(error).__name__}") from None


async def _bounded(stream: object) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    async for piece in stream.iter_chunked(65_536):  # type: ignore[attr-defined]  # aiohttp's reader
        size += len(piece)
        if size > _LARGEST:
            return None
        parts.append(piece)
    return b"".join(parts)
