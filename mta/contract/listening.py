"""What a reload leaves to the next restart: a socket stays what it was bound for."""

from __future__ import annotations

from mta.contract.configuration import Configuration
from mta.contract.server import Listener, Server
from mta.errors import ConfigurationError

_AT_RESTART = ("queue", "state", "user", "workers", "metrics")


def only_at_restart(bound: tuple[Listener, ...], old: Server, new: Server) -> list[str]:
    """What a new file says that only a restart brings, in warnings; the order of listeners says nothing."""
    fixed = ", ".join(f"server.{key}" for key in _AT_RESTART if getattr(old, key) != getattr(new, key))
    listeners = [f"server.listen: {text}" for text in _listeners(bound, new.listen)]
    if _portal(old) != _portal(new):
        listeners.append("server.portal.address: takes effect at a restart only")
    return [f"{fixed}: takes effect at a restart only", *listeners] if fixed else listeners


def _portal(server: Server) -> tuple[str, int] | None:
    return (server.portal.address, server.portal.port) if server.portal else None


def _listeners(bound: tuple[Listener, ...], wanted: tuple[Listener, ...]) -> list[str]:
    told = [f"{one} is served until a restart, though it is listed no more" for one in bound if not _same(one, wanted)]
    told += [f"{one} is not served before a restart" for one in wanted if not _same(one, bound)]
    changed = [(one, now) for one in bound for now in _same(one, wanted) if now != one]
    return told + [f"{one} stays as it is until a restart, then it becomes {now}" for one, now in changed]


def demand_servable(bound: tuple[Listener, ...], fresh: Configuration) -> None:
    """A socket that begins with TLS cannot be served without a certificate. Raises ConfigurationError."""
    implicit = next((one for one in bound if one.tls == "implicit"), None)
    if implicit is not None and fresh.server.certificate is None:
        text = f"server.certificate: {implicit} begins with TLS until a restart: restart to serve without a certificate"
        raise ConfigurationError((text,), fresh.files)


def _same(listener: Listener, others: tuple[Listener, ...]) -> list[Listener]:
    return [other for other in others if other.address == listener.address]
