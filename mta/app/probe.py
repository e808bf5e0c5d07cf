"""Looking at partners' hosts: a site of its own for `mta probe`, and the rounds of the first worker."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from mta.app.folders import queue_folder
from mta.app.keys import key_ring
from mta.app.outside import SystemClock, chain_verifier, dialer, resolver, sts_policies
from mta.config.contract import Configuration
from mta.config.index import ConnectorIndex
from mta.observe.log import EventLog
from mta.pipeline.site import Contract, MessageIds, Shard, Site
from mta.queue.chores import Chore

PATIENCE = 30.0  # seconds for each answer of a host: whoever needs longer has a problem worth telling


def looking_site(configuration: Configuration) -> Site:
    """Surroundings like a worker's, with less patience and without a queue."""
    from mta.adapters.key_files import KeyFiles

    clock, names = SystemClock(), resolver(configuration)
    server = configuration.server
    timeouts = [name for name in server.limits.__slots__ if name.endswith("_timeout")]
    patience = {name: min(PATIENCE, getattr(server.limits, name)) for name in timeouts}
    return Site(
        contract=Contract(configuration, ConnectorIndex(configuration), 1),
        clock=clock,
        verifier=chain_verifier(),
        resolver=names,
        dialer=dialer(replace(server, limits=replace(server.limits, **patience))),
        log=EventLog(2, "text"),
        random=random.Random(),  # noqa: S311 - mixes hosts of one preference
        ids=MessageIds(clock),
        keys=KeyFiles(),
        key_ring=key_ring(configuration),
        policies=sts_policies(configuration, names),
    )


@contextlib.asynccontextmanager
async def with_directory(site: Site) -> AsyncIterator[None]:
    """The certificates of recipients are at hand: a message may have to be encrypted before it leaves."""
    from mta.app.directory import take_over

    take_over(site, None)
    try:
        yield
    finally:
        await site.directory.close()


def probing_chore(site: Site, shard: Shard, wake: Callable[[], None]) -> Chore:
    """Rounds of looks at all partners, where they are wanted."""
    from mta.adapters.seen_file import SeenFile
    from mta.queue.probing import LOOK_EVERY, Rounds

    rounds = Rounds(site, shard, SeenFile(queue_folder(site.contract.configuration)), wake)
    return Chore("probe", LOOK_EVERY, rounds.look_after, at_once=True, alone=True)
