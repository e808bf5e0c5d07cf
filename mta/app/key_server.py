"""The way to key servers that protected files name."""

from __future__ import annotations

from mta.ports.vault_client import KeyServer


def key_server() -> KeyServer:
    """By HTTPS, with this machine's own names and certificate authorities: there may be no configuration."""
    from mta.adapters.key_server import HttpKeyServer

    return HttpKeyServer()
