"""The portal as a role of the supervisor: when it is wanted, and what of a configuration it works with."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from mta.contract.configuration import Configuration
from mta.role import Role


def web_role(bound: Configuration, sockets: Sequence[socket.socket]) -> Role:
    """The role on the sockets that were bound under the configuration `bound`."""
    address = _address(bound)

    def wanted(configuration: Configuration) -> bool:
        """The vault wants keeping also where nobody is served."""
        return configuration.protection is not None

    def concerns(configuration: Configuration) -> object:
        portal = configuration.server.portal
        files = portal.certificate or () if portal else ()
        return (
            configuration.protection,
            portal,
            configuration.server.pkcs11,
            frozenset(configuration.domains),
            tuple(configuration.files.get(file) for file in files),
            _address(configuration) == address,
        )

    return Role("web", ("web", "--held"), tuple(sockets), wanted, concerns)


def _address(configuration: Configuration) -> tuple[str, int] | None:
    portal = configuration.server.portal
    return (portal.address, portal.port) if portal else None
