"""What our HTTPS clients share: names by our own resolver, certificates as in any browser, an end that is an end.

aiohttp is imported at the first request: it takes long to load, and most mail needs none.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from mta.model.public_address import is_public
from mta.model.tls import TrustAnchors
from mta.ports import Resolver

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractResolver, ResolveResult


def connector(resolver: Resolver, context: ssl.SSLContext, *, public: bool = False) -> aiohttp.TCPConnector:
    """For one session. `public`: hosts at addresses that are not are refused, where they are connected to."""
    import aiohttp

    return aiohttp.TCPConnector(ssl=context, resolver=_names(resolver, public), force_close=True, use_dns_cache=False)


def tls_context(ca: TrustAnchors | None) -> ssl.SSLContext:
    """Certificates of `ca` (None: the system's) for the name in subjectAltName (RFC 8461 §3.3)."""
    explicit = ca is not None and not ca.is_system
    context = ssl.create_default_context(cadata=b"".join(ca.certificates) if ca is not None and explicit else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    return context


def hang_up(answer: aiohttp.ClientResponse) -> None:
    """At once: an orderly end of TLS would read, and throw away, all that an endless body still sends."""
    if answer.connection is not None and answer.connection.transport is not None:
        answer.connection.transport.abort()


def _names(resolver: Resolver, public: bool) -> AbstractResolver:
    """Our own look-ups for aiohttp, so that one configuration says where names are asked."""
    from aiohttp.abc import AbstractResolver, ResolveResult

    class Names(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            answer = await resolver.addresses(host)
            good = [address for address in answer.addresses if not public or is_public(address)]
            if not good:
                nothing = f"{answer.detail or 'has no address'} ({answer.status.value})"
                raise OSError(None, f"{host}: {'has no public address' if answer.addresses else nothing}")
            return [_result(host, address, port) for address in good]

        async def close(self) -> None:
            return

    def _result(host: str, address: str, port: int) -> ResolveResult:
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return ResolveResult(hostname=host, host=address, port=port, family=kind, proto=0, flags=flags)

    return Names()
