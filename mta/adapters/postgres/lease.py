"""This process as a node of the shared queue: its lease, renewed by the database's clock and trusted by our own."""

from __future__ import annotations

import os
import socket
import time

import asyncpg

from mta.adapters.postgres.rows import SLOTS, Numbers
from mta.errors import StorageError
from mta.model.frozen import frozen
from mta.model.lease import Terms, Trust

_REGISTER = """
INSERT INTO node (slot, host, worker, version, digest, generation, expires)
SELECT (SELECT min(s) FROM generate_series(0, $7::int - 1) s
        WHERE NOT EXISTS (SELECT 1 FROM node WHERE NOT dead AND slot = s)),
       $1, $2, $3, $4, $5, clock_timestamp() + make_interval(secs => $6)
RETURNING id, slot
"""
_RENEW = """
UPDATE node SET expires = clock_timestamp() + make_interval(secs => $2), digest = $3, generation = $4
WHERE id = $1 AND NOT dead
"""
_ONE_AT_A_TIME = 0x6D746E6F  # the advisory lock of who takes a slot


def boottime() -> float:
    """Seconds of a clock that never jumps and goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@frozen
class Identity:
    """What the others see of a node."""

    host: str
    worker: int
    version: str
    digest: str
    generation: int

    @classmethod
    def of_this_host(cls, worker: int, version: str, digest: str, generation: int) -> Identity:
        """With the name of this machine."""
        return cls(os.environ.get("MTA_NODE") or socket.gethostname(), worker, version, digest, generation)


class Lease:
    """The lease of the present incarnation. `id` is 0 before there is one."""

    def __init__(self, terms: Terms, identity: Identity, numbers: Numbers) -> None:
        self.terms = terms
        self.identity = identity
        self.trust = Trust(terms)
        self.id = 0
        self._numbers = numbers

    @property
    def held(self) -> bool:
        """Whether a final dot may be sent now."""
        return self.trust.holds(boottime())

    async def join(self, db: asyncpg.Connection) -> None:
        """Become a node of the queue: a new incarnation. Raises StorageError where there are too many."""
        who, sent = self.identity, boottime()
        async with db.transaction():
            await db.execute("SELECT pg_advisory_xact_lock($1)", _ONE_AT_A_TIME)
            given = (who.host, who.worker, who.version, who.digest, who.generation, self.terms.ttl, SLOTS)
            try:
                row = await db.fetchrow(_REGISTER, *given)
            except asyncpg.NotNullViolationError:
                raise StorageError(f"the shared queue has {SLOTS} nodes already, and takes no more") from None
        self.trust.lost()
        self.id, self._numbers.slot = row["id"], row["slot"]
        self.trust.renewed(sent, boottime())

    async def renew(self, db: asyncpg.Connection) -> bool:
        """Ask for another lease; False: the others have declared us dead."""
        sent, who = boottime(), self.identity
        told = await db.execute(_RENEW, self.id, self.terms.ttl, who.digest, who.generation)
        if told != "UPDATE 1":
            self.trust.lost()
            return False
        self.trust.renewed(sent, boottime())
        return True
