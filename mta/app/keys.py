"""Our own keys: in files, or in a token; for DKIM by their place, for S/MIME by domain and address."""

from __future__ import annotations

from typing import Any

from mta.contract.configuration import Configuration
from mta.contract.domains import Domain
from mta.errors import MtaError
from mta.pipeline.site import NoKeyRing
from mta.ports import KeyProvider, KeyRing, TokenKey


def key_provider(configuration: Configuration) -> KeyProvider:
    """The keys that sign for DKIM and ARC."""
    from mta.adapters.key_files import KeyFiles

    return KeyFiles(token_key(configuration))


def key_ring(configuration: Configuration) -> KeyRing:
    """Our certificates for S/MIME."""
    places = {name: _places(domain) for name, domain in configuration.domains.items() if domain.smime is not None}
    if not places:
        return NoKeyRing()
    from mta.adapters.key_ring import FileKeyRing

    return FileKeyRing(places, token_key(configuration))


def _places(domain: Domain) -> Any:
    from mta.adapters.key_ring import KeyPlaces

    own = domain.smime
    assert own is not None
    pair = (own.certificate.chain, own.certificate.key) if own.certificate else ("", "")
    return KeyPlaces(pair, own.people, own.former, own.password)


def token_key(configuration: Configuration) -> TokenKey:
    """Opens a key of a token by its URI; the module is loaded when the first one is wanted."""
    token = configuration.server.pkcs11
    if token is None:
        return _no_token

    def key(uri: str, public: Any = None) -> Any:
        from mta.adapters.token import tokens

        return tokens(token.module, token.pin).key(uri, public)

    return key


def _no_token(uri: str, public: Any = None) -> Any:
    raise MtaError(f"{uri} is the key of a token, and there is no server.pkcs11")
