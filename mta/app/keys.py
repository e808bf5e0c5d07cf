"""Our own keys: for DKIM by file, for S/MIME by domain and address."""

from __future__ import annotations

from typing import Any

from mta.config.contract import Configuration, Domain
from mta.errors import MtaError
from mta.pipeline.site import NoKeyRing
from mta.ports import KeyRing


def key_ring(configuration: Configuration) -> KeyRing:
    """Our certificates for S/MIME."""
    places = {name: _places(domain) for name, domain in configuration.domains.items() if domain.smime is not None}
    if not places:
        return NoKeyRing()
    from mta.adapters.key_ring import FileKeyRing

    return FileKeyRing(places, _no_token)


def _places(domain: Domain) -> Any:
    from mta.adapters.key_ring import KeyPlaces

    own = domain.smime
    assert own is not None
    pair = (own.certificate.chain, own.certificate.key) if own.certificate else ("", "")
    return KeyPlaces(pair, own.people, own.former, own.password)


def _no_token(uri: str) -> Any:
    raise MtaError(f"{uri} is the key of a token, and there is no server.pkcs11")
