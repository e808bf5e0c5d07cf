"""What every step stands on: the contract in force, and the ports of the outside world."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from random import Random

from mta.config.contract import Configuration
from mta.config.index import ConnectorIndex
from mta.observe.log import EventLog
from mta.ports import ChainVerifier, Clock, Dialer, QueueStore, Resolver

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: no letter that reads like a digit


@dataclass(frozen=True, slots=True)
class Contract:
    """One configuration with its look-up tables. A reload makes a new one; a transaction keeps its own."""

    configuration: Configuration
    index: ConnectorIndex
    generation: int

    @property
    def own_names(self) -> frozenset[str]:
        """The names under which we would recognise ourselves among MX hosts."""
        return frozenset({self.configuration.server.hostname.lower()})


class MessageIds:
    """Ids that sort by time and never meet: milliseconds, the process, a counter, each in Crockford's base 32."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counter = itertools.count(int.from_bytes(os.urandom(2), "big"))
        self._process = _base32(int.from_bytes(os.urandom(3), "big") & 0xFFFFF, 4)

    def next(self) -> str:
        """A new id: 16 characters."""
        return _base32(int(self._clock.now() * 1000), 9)[-9:] + self._process[:4] + _base32(next(self._counter), 3)[-3:]


def _base32(number: int, digits: int) -> str:
    letters = []
    for _ in range(digits):
        number, digit = divmod(number, 32)
        letters.append(_ALPHABET[digit])
    return "".join(reversed(letters))


@dataclass(slots=True)
class Site:
    """One worker's surroundings. Only `contract` changes, in one assignment, at a reload."""

    contract: Contract
    clock: Clock
    verifier: ChainVerifier
    resolver: Resolver
    dialer: Dialer
    log: EventLog
    random: Random
    ids: MessageIds


@dataclass(frozen=True, slots=True)
class Shard:
    """A queue file this worker owns. `number` is its place among the shards."""

    number: int
    store: QueueStore
