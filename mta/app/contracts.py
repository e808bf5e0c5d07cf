"""The configurations that a worker lives under, one after the other: judged, numbered, within the machine's means."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from mta.adapters.process import raise_descriptors
from mta.contract.configuration import Configuration
from mta.contract.handed import Handed, unpack
from mta.contract.index import ConnectorIndex
from mta.contract.server import Server
from mta.pipeline.site import Contract

_DESCRIPTORS_KEPT = 64  # for the queue, listeners, the log, outbound connections
_DESCRIPTORS_OF_A_SESSION = 2  # its socket, and the file of a large message


class Contracts:
    """Makes a contract of each configuration. `in_force`: the text of the present one, and since when (epoch seconds).

    Commands ask a live worker for `in_force` while connectors.yaml has problems.
    """

    def __init__(self, text: str) -> None:
        self._descriptors = raise_descriptors()
        self._generation = 0
        self._begun: Server | None = None
        self.in_force: dict[str, Any] = {"text": text, "since": time.time()}

    def make(self, configuration: Configuration) -> Contract:
        """The next generation."""
        self._generation += 1
        self._begun = self._begun or configuration.server
        able = in_its_place(within_means(configuration, self._descriptors), self._begun)
        return Contract(able, ConnectorIndex(able), self._generation)

    def load(self, handed: Handed) -> Contract:
        """The contract of what the supervisor judged, in a thread, while sessions go on."""
        contract = _beside_sessions(lambda: self.make(unpack(handed.packed)))
        self.in_force.update(text=handed.text, since=time.time())
        return contract


def _beside_sessions(load: Callable[[], Contract]) -> Contract:
    """Run `load` so that sessions on the loop hardly notice it.

    Python passes its lock on ten times as often as usual meanwhile, so the loop waits less for its turn. And the
    garbage collector rests: all that is loaded is kept, and walking through it over and over would stop everybody.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(usual / 10)
    gc.disable()
    try:
        return load()
    finally:
        gc.enable()
        sys.setswitchinterval(usual)


def in_its_place(configuration: Configuration, begun: Server) -> Configuration:
    """With the files where they were when the worker began, under `begun`: another place is one for the next start."""
    server = configuration.server
    if (server.queue, server.state) == (begun.queue, begun.state):
        return configuration
    return replace(configuration, server=replace(server, queue=begun.queue, state=begun.state))


def within_means(configuration: Configuration, descriptors: int) -> Configuration:
    """At most as many sessions as descriptors can serve: one too many hears 421, instead of being cut off."""
    most = max(1, (descriptors - _DESCRIPTORS_KEPT) // _DESCRIPTORS_OF_A_SESSION)
    server = configuration.server
    if server.limits.connections <= most:
        return configuration
    limits = replace(server.limits, connections=most)
    return replace(configuration, server=replace(server, limits=limits))
