"""Keys of other organisations' OpenID Connect issuers (ports.vault.IssuerKeys): found by discovery, kept for an hour.

aiohttp is imported at the first request: it takes long to load, and most sites need none.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlsplit

from mta.adapters.https_client import connector, hang_up, tls_context
from mta.errors import IssuerAway, JoseError, JsonError, NotOpened
from mta.ports import Clock, Resolver
from mta.ports.vault import IssuerPlaces
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
    told: dict[str, Any]  # the discovery document


class IssuerKeySets:
    """By HTTPS; plain HTTP is for issuers on this machine alone. No redirects: an issuer's word is at its own place."""

    def __init__(self, resolver: Callable[[], Resolver], clock: Clock) -> None:
        self._resolver, self._clock = resolver, clock
        self._kept: dict[str, _Kept] = {}
        self._asking: dict[str, asyncio.Task[_Kept]] = {}

    async def keys(self, issuer: str, *, renewed: bool = False) -> tuple[Jwk, ...]:
        """The issuer's keys; `renewed`: what is kept lacks the wanted one. Raises IssuerAway."""
        return (await self._known(issuer, renewed=renewed)).keys

    async def places(self, issuer: str) -> IssuerPlaces:
        """Where it signs people in. Raises IssuerAway."""
        document = (await self._known(issuer)).told
        authorization, token = document.get("authorization_endpoint"), document.get("token_endpoint")
        if not _is_place(authorization) or not _is_place(token):
            raise IssuerAway(f"{issuer}: its configuration says not where to sign in")
        ways = document.get(
            "token_endpoint_auth_methods_supported", ["client_secret_basic"]
        )  # Discovery §3: the default
        return IssuerPlaces(str(authorization), str(token), "client_secret_basic" in ways)

    async def exchange(self, issuer: str, fields: dict[str, str], client: tuple[str, str]) -> str:
        """The ID token for a code. Raises IssuerAway; NotOpened for a code that it does not take."""
        places, (id, secret) = await self.places(issuer), client
        headers = {"Accept": "application/json"}
        if secret and places.basic:  # RFC 6749 §2.3.1: both as in a form
            pair = f"{quote_plus(id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            fields = {**fields, "client_id": id, **({"client_secret": secret} if secret else {})}
        try:
            async with asyncio.timeout(_PATIENCE):
                status, body = await self._ask_web(places.token, fields, headers)
            answer = read_object(body, _LARGEST) if status == 200 else {}
        except TimeoutError:
            raise IssuerAway(f"{issuer}: no answer within {_PATIENCE:g} s") from None
        except JsonError as error:
            raise IssuerAway(f"{issuer}: {error}") from None
        if status >= 500:
            raise IssuerAway(f"{issuer} answers {status}")
        if not isinstance(answer.get("id_token"), str):
            raise NotOpened("not-proven", f"{issuer} gives no ID token ({status})")
        return str(answer["id_token"])

    async def _known(self, issuer: str, *, renewed: bool = False) -> _Kept:
        kept, now = self._kept.get(issuer), self._clock.monotonic()
        if kept is not None and now - kept.since < (_AGAIN if renewed else _LIFE):
            return kept
        task = self._asking.get(issuer)
        if task is None:
            task = self._asking[issuer] = asyncio.create_task(self._ask(issuer))
            task.add_done_callback(lambda _: self._asking.pop(issuer, None))
        return await asyncio.shield(task)

    async def _ask(self, issuer: str) -> _Kept:
        try:
            async with asyncio.timeout(_PATIENCE):
                document = read_object(await self._get(f"{issuer}/.well-known/openid-configuration"), _LARGEST)
                keys_url = document.get("jwks_uri")
                if document.get("issuer") != issuer or not isinstance(keys_url, str):  # OpenID Connect Discovery §4.3
                    raise IssuerAway(f"{issuer}: its configuration is of another issuer, or names no keys")
                keys = read_jwks(await self._get(keys_url))
        except TimeoutError:
            raise IssuerAway(f"{issuer}: no answer within {_PATIENCE:g} s") from None
        except (JsonError, JoseError) as error:
            raise IssuerAway(f"{issuer}: {error}") from None
        self._kept[issuer] = kept = _Kept(keys, self._clock.monotonic(), document)
        return kept

    async def _get(self, url: str) -> bytes:
        status, body = await self._ask_web(url, None, {})
        if status != 200:
            raise IssuerAway(f"{url} answers {status}")
        return body

    async def _ask_web(self, url: str, fields: dict[str, str] | None, headers: dict[str, str]) -> tuple[int, bytes]:
        """GET, or POST of a form: status and body."""
        import aiohttp

        if not _is_place(url):
            raise IssuerAway(f"{url}: issuers are asked by https")
        way = connector(self._resolver(), tls_context(None))
        try:
            async with (
                aiohttp.ClientSession(connector=way, trust_env=False, auto_decompress=False) as session,
                session.request(
                    "GET" if fields is None else "POST", url, data=fields, headers=headers, allow_redirects=False
                ) as answer,
            ):
                body = await _bounded(answer.content)
                if body is None:
                    hang_up(answer)
                    raise IssuerAway(f"{url} answers more than {_LARGEST} octets")
                return answer.status, body
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise IssuerAway(f"{url}: {error or type(error).__name__}") from None


def _is_place(url: object) -> bool:
    """HTTPS; plain HTTP on this machine alone."""
    parts = urlsplit(url) if isinstance(url, str) else None
    return parts is not None and (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK))


async def _bounded(stream: object) -> bytes | None:
    parts: list[bytes] = []
    size = 0
    async for piece in stream.iter_chunked(65_536):  # type: ignore[attr-defined]  # aiohttp's reader
        size += len(piece)
        if size > _LARGEST:
            return None
        parts.append(piece)
    return b"".join(parts)
