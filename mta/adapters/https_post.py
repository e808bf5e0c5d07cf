"""Delivers a report by HTTPS: one POST, no redirects, names by our own resolver, everything bounded (RFC 8460 §5.4).

The URL is a stranger's. It may name a host of ours that trusts whoever comes from inside, so addresses that are not
public are refused unless the configuration permits them, and are refused where they are connected to, not where they
are looked up: no second look-up can give another answer.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING

from mta.ports import Posted, Resolver
from mta.rfc.tlsrpt.parse import url_problem

if TYPE_CHECKING:
    from aiohttp.abc import AbstractResolver, ResolveResult

_CONNECT, _WHOLE = 15.0, 30.0  # seconds


class HttpsPoster:
    """Posts reports (ports.ReportPoster).

    `resolver` gives the one in force; `trust` stands in place of the system's certificate authorities.
    """

    def __init__(self, resolver: Callable[[], Resolver], trust: ssl.SSLContext | None = None) -> None:
        self._resolver = resolver
        self._trust = trust

    async def post(self, url: str, media_type: str, data: bytes, *, private: bool) -> Posted:
        """POST `data`; never raises."""
        if problem := url_problem(url, private=private):
            return Posted(False, problem)
        import aiohttp

        connector = aiohttp.TCPConnector(
            resolver=_names(self._resolver(), private),
            ssl=self._trust or ssl.create_default_context(),
            force_close=True,
        )
        patience = aiohttp.ClientTimeout(total=_WHOLE, connect=_CONNECT)
        headers = {"Content-Type": media_type, "User-Agent": "mta"}
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector, timeout=patience, cookie_jar=aiohttp.DummyCookieJar()
                ) as session,
                session.post(url, data=data, headers=headers, allow_redirects=False) as answer,
            ):
                good = 200 <= answer.status < 300
                return Posted(good, f"{answer.status} {(answer.reason or '')[:100]}".strip())
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Posted(False, f"{type(error).__name__}: {error}"[:500])
        except TimeoutError:
            return Posted(False, f"no answer within {_WHOLE:g} s")


def _names(resolver: Resolver, private: bool) -> AbstractResolver:
    from aiohttp.abc import AbstractResolver

    class Names(AbstractResolver):
        """Our look-ups, as aiohttp asks for them."""

        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            answer = await resolver.addresses(host)
            good = [text for text in answer.addresses if private or ip_address(text).is_global]
            if not good:
                why = "has no public address" if answer.addresses else f"{answer.status.value} {answer.detail}".strip()
                raise OSError(None, f"{host}: {why}")
            return [
                {
                    "hostname": host,
                    "host": text,
                    "port": port,
                    "family": socket.AF_INET6 if ":" in text else socket.AF_INET,
                    "proto": 0,
                    "flags": socket.AI_NUMERICHOST,
                }
                for text in good
            ]

        async def close(self) -> None:
            """Nothing is held."""

    return Names()
