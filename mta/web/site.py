"""What the handlers of requests work with."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

from starlette.requests import Request

from mta.contract.protection import Portal
from mta.errors import KasError
from mta.observe.log import EventLog
from mta.ports.vault import IssuerKeys
from mta.vault.vault import Vault
from mta.web.portal.desk import Desk
from mta.web.replay import ReplayCache

_LONGEST_AGENT = 200


@dataclass(frozen=True, slots=True)
class Site:
    """One portal: its vault, its settings and what this process remembers."""

    vault: Vault
    portal: Portal
    log: EventLog
    issuers: IssuerKeys
    seen: ReplayCache = field(default_factory=ReplayCache)
    desk: Desk | None = None  # of the readers' pages

    @property
    def url(self) -> str:
        """What readers see, without a slash at its end."""
        return self.portal.url


def site_of(request: Request) -> Site:
    """The site that a request was sent to."""
    site: Site = request.app.state.site
    return site


def client_ip(request: Request) -> str:
    """Where a request came from: the peer, or the last address that a proxy of ours has written down.

    An address that the client itself put into X-Forwarded-For is never believed.
    """
    peer = request.client.host if request.client else ""
    forwarded = [word.strip() for word in request.headers.get("x-forwarded-for", "").split(",") if word.strip()]
    while forwarded and _is_proxy(site_of(request).portal, peer):
        peer = forwarded.pop()
    return peer[:64]


def _is_proxy(portal: Portal, peer: str) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    return any(address.version == network.version and address in network for network in portal.proxies)


def agent(request: Request) -> str:
    """The client program's name for itself, for the log."""
    told = request.headers.get("user-agent", "")[:_LONGEST_AGENT]
    return "".join(c if c.isprintable() else "?" for c in told)


async def read_body(request: Request, limit: int) -> bytes:
    """The body, of at most `limit` octets as it travels. Raises KasError."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise KasError("resource_exhausted", f"a body of more than {limit} octets")
        parts.append(part)
    return b"".join(parts)
