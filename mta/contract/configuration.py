"""The configuration as the rest of the house sees it: frozen, complete, every default filled in.

connectors.yaml is checked and turned into these by config/load.py. Durations are seconds, sizes octets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mta.contract.connectors import DEFAULT, Connector
from mta.contract.directory import Directory
from mta.contract.domains import Domain
from mta.contract.frozen import parts
from mta.contract.protection import Protection
from mta.contract.server import Server


@dataclass(frozen=True, slots=True)
class Configuration:
    """All of connectors.yaml. Always has a connector called `default`."""

    server: Server
    domains: Mapping[str, Domain]  # by A-label name in lower case
    connectors: Mapping[str, Connector]  # by name, in file order
    path: str = ""
    digest: str = ""  # of the file's bytes: tells one configuration from the next
    warnings: tuple[str, ...] = ()
    files: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # that it names, as they were read: watch.py
    directory: Directory = field(default_factory=Directory)
    protection: Protection | None = None
    ailments: tuple[str, ...] = ()  # files of single connectors that cannot be used, as `mta check` tells them

    def __post_init__(self) -> None:
        object.__setattr__(self, "domains", MappingProxyType(dict(self.domains)))
        object.__setattr__(self, "connectors", MappingProxyType(dict(self.connectors)))

    def __reduce__(self) -> tuple[object, ...]:
        return parts(self)

    @property
    def default(self) -> Connector:
        """The connector for everyone else."""
        return self.connectors[DEFAULT]
