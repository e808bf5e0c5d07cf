"""Access tokens from issuers, by HTTPS (ports.AccessTokens): kept until shortly before their end, fetched once for all.

aiohttp is imported at the first request: it takes long to load, and most mail needs none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from mta.adapters.https_client import connector, hang_up, tls_context
from mta.errors import TokenNotGiven
from mta.ports import Clock, Resolver
from mta.ports.access import AccessGrant
from mta.rfc.oauth.token import Token, form, read

PATIENCE = 30.0  # seconds in all
_BEFORE_ITS_END = 60.0  # seconds; of a short-lived token a tenth of its life
_LARGEST = 1 << 17  # octets of an answer
_MOST_KEPT = 1000
_HIDDEN = "***"
_MOST_OF_A_REASON = 300


@dataclass(frozen=True, slots=True)
class _Kept:
    token: str
    until: float  # monotonic seconds


class OAuthTokens:
    """`resolver` gives the one in force. A refresh token that the issuer exchanged is known to this process alone."""

    def __init__(self, resolver: Callable[[], Resolver], clock: Clock, *, patience: float = PATIENCE) -> None:
        self._resolver = resolver
        self._clock = clock
        self._patience = patience
        self._kept: dict[AccessGrant, _Kept] = {}
        self._exchanged: dict[AccessGrant, str] = {}
        self._asking: dict[AccessGrant, asyncio.Task[str]] = {}

    async def token(self, grant: AccessGrant) -> str:
        """A token that is good now; whoever asks meanwhile waits for the same answer. Raises TokenNotGiven."""
        kept = self._kept.get(grant)
        if kept is not None and self._clock.monotonic() < kept.until:
            return kept.token
        task = self._asking.get(grant)
        if task is None:
            task = self._asking[grant] = asyncio.get_running_loop().create_task(self._fetch(grant))
            task.add_done_callback(lambda done: self._done(grant, done))
        return await asyncio.shield(task)

    def refused(self, grant: AccessGrant, token: str) -> None:
        """Somebody did not take this token: the next one is a new one."""
        kept = self._kept.get(grant)
        if kept is not None and kept.token == token:  # else somebody has renewed it already
            del self._kept[grant]

    def _done(self, grant: AccessGrant, task: asyncio.Task[str]) -> None:
        del self._asking[grant]
        if not task.cancelled():
            task.exception()  # whoever waited has it; if nobody does any more, nothing is lost

    async def _fetch(self, grant: AccessGrant) -> str:
        import aiohttp

        refresh = self._exchanged.get(grant, grant.refresh_token)
        try:
            async with asyncio.timeout(self._patience):
                status, body = await self._post(grant, form(grant.client_id, grant.client_secret, grant.scope, refresh))
        except TimeoutError:
            raise TokenNotGiven(f"{grant.url}: no answer within {self._patience:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise TokenNotGiven(
                f"{grant.url}: {_without(grant, refresh, str(error) or type(error).__name__)}"
            ) from None
        token = read(status, body)
        if isinstance(token, str):
            if refresh != grant.refresh_token:
                self._exchanged.pop(grant, None)  # the next time with the one of the file, which a person may renew
            raise TokenNotGiven(f"{grant.url}: {_without(grant, refresh, token)}")
        self._keep(grant, token)
        return token.value

    def _keep(self, grant: AccessGrant, token: Token) -> None:
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        left = token.lifetime - min(_BEFORE_ITS_END, token.lifetime / 10)
        self._kept[grant] = _Kept(token.value, self._clock.monotonic() + left)
        if grant.refresh_token and token.refresh_token:
            self._exchanged[grant] = token.refresh_token  # RFC 6749 §6: it takes the old one's place

    async def _post(self, grant: AccessGrant, fields: dict[str, str]) -> tuple[int, bytes]:
        import aiohttp

        way = connector(self._resolver(), tls_context(grant.ca))
        async with (
            aiohttp.ClientSession(connector=way, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as web,
            web.post(
                grant.url,
                data=fields,
                allow_redirects=False,  # a secret goes to the host that the configuration names
                headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "mta"},
            ) as answer,
        ):
            try:
                body = bytearray()
                async for piece in answer.content.iter_chunked(8192):
                    body += piece
                    if len(body) > _LARGEST:
                        raise ValueError(f"its answer is larger than {_LARGEST} octets")
                return answer.status, bytes(body)
            finally:
                hang_up(answer)


def _without(grant: AccessGrant, refresh: str, text: str) -> str:
    """What an issuer says may repeat what it was sent, as it was sent as well; of a long text the beginning is told."""
    for secret in (grant.client_secret, grant.refresh_token, refresh):
        for form_ in (secret, quote_plus(secret), quote(secret)) if secret else ():
            text = text.replace(form_, _HIDDEN)
    return text[:_MOST_OF_A_REASON]
