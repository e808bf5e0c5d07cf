"""Codes to telephones (ports.portal.SmsSender): one POST to the configured gateway; no redirects, all bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from urllib.parse import quote_plus

from mta.adapters.https_client import connector, hang_up, tls_context
from mta.errors import MtaError
from mta.ports import Resolver

_PATIENCE = 20.0  # seconds in all


class HttpSmsGateway:
    """`body` holds {number} and {text}, escaped as `media_type` wants it; `token` goes into `Authorization`."""

    def __init__(self, url: str, token: str, media_type: str, body: str, resolver: Callable[[], Resolver]) -> None:
        self._url, self._token = url, token
        self._media_type, self._body = media_type, body
        self._resolver = resolver

    async def send(self, number: str, text: str) -> None:
        """One text. Raises MtaError unless the gateway takes it; the number is not told."""
        import aiohttp

        headers = {"Content-Type": self._media_type, "User-Agent": "mta"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = self.filled(number, text).encode()
        way = connector(self._resolver(), tls_context(None))
        try:
            async with (
                asyncio.timeout(_PATIENCE),
                aiohttp.ClientSession(connector=way, trust_env=False, auto_decompress=False) as web,
                web.post(self._url, data=data, allow_redirects=False, headers=headers) as answer,
            ):
                hang_up(answer)  # the status says it all
                if not 200 <= answer.status < 300:
                    raise MtaError(f"the SMS gateway answers {answer.status}")
        except TimeoutError:
            raise MtaError(f"the SMS gateway does not answer within {_PATIENCE:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise MtaError(f"the SMS gateway: {type(error).__name__}") from None

    def filled(self, number: str, text: str) -> str:
        """The request's body."""
        is_json = self._media_type == "application/json"

        def escaped(value: str) -> str:
            return json.dumps(value)[1:-1] if is_json else quote_plus(value)

        # one pass: what is filled in is not looked at again
        pieces = self._body.split("{number}")
        return escaped(number).join(piece.replace("{text}", escaped(text)) for piece in pieces)
