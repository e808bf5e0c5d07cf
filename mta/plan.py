"""What the supervisor is told to run: a configuration found good, its sockets, and the processes beside the workers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from mta.contract.configuration import Configuration
from mta.contract.handed import Handed
from mta.contract.server import Listener
from mta.contract.watch import Stamp
from mta.role import RoleKeeper


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that was found good, and the same as the workers are given it."""

    configuration: Configuration
    handed: Handed
    files: Mapping[str, Stamp]  # connectors.yaml and all that it names, as they were read


class Doorman(Protocol):
    """Answers on the sockets of a worker that cannot live."""

    answered: int

    def begin(self, reply: bytes) -> bool:
        """Say `reply` to whoever comes; False: that is done already."""
        ...

    def end(self) -> bool:
        """Leave the sockets to the worker; False: they were its own all the time."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What the supervisor was told to run. `sockets[worker]` holds (number in `listen`, socket) pairs.

    `listen` is what the sockets were bound for: as that they serve until a restart, whatever a reload says.
    `doormen` has one for each worker; `shared`: all workers take from the same sockets.
    """

    loaded: Loaded
    listen: tuple[Listener, ...]
    sockets: tuple[tuple[tuple[int, socket.socket], ...], ...]
    doormen: tuple[Doorman, ...]
    shared: bool
    load: Callable[[], Loaded]
    notify: Callable[[str], None]
    roles: tuple[RoleKeeper, ...] = ()  # processes beside the workers
