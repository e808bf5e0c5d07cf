"""What becomes of listeners at a reload: a socket stays what it was bound for until a restart."""

from __future__ import annotations

from mta.config.contract import Configuration, Listener
from mta.errors import ConfigurationError


def only_at_restart(bound: tuple[Listener, ...], wanted: tuple[Listener, ...]) -> list[str]:
    """What a file says of listeners that only a restart brings, one line each; their order says nothing."""
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
