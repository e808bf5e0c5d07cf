"""Looking at partners' hosts: a site of its own for `mta probe`, and the rounds of the first worker."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from mta.app.folders import state_folder
from mta.app.outside import dialer, look_ups, sts_policies
from mta.app.site import alone, make_site
from mta.contract.configuration import Configuration
from mta.observe.log import EventLog
from mta.pipeline.site import Shard, Site
from mta.queue.chores import Chore

PATIENCE = 30.0  # seconds for each answer of a host: whoever needs longer has a problem worth telling


def looking_site(configuration: Configuration, nameserver: str = "") -> Site:
    """Surroundings like a worker's, with less patience and without a queue."""
    server = configuration.server
    timeouts = [name for name in server.limits.__slots__ if name.endswith("_timeout")]
    patience = {name: min(PATIENCE, getattr(server.limits, name)) for name in timeouts}
    site = make_site(alone(configuration), EventLog(2, "text"))
    site.dialer = dialer(replace(server, limits=replace(server.limits, **patience)))
    site.resolver = look_ups(server, nameserver)
    site.policies = sts_policies(configuration, site.resolver, reads_only=True)
    return site


@contextlib.asynccontextmanager
async def with_directory(site: Site) -> AsyncIterator[None]:
    """The certificates of recipients are at hand while a message may have to be encrypted; then let go of."""
    try:
        yield
    finally:
        await site.directory.close()


def probing_chore(site: Site, shard: Shard, wake: Callable[[], None]) -> Chore:
    """Rounds of looks at all partners, where they are wanted."""
    from mta.adapters.seen_file import SeenFile
    from mta.queue.probing import LOOK_EVERY, Rounds

    rounds = Rounds(site, shard, SeenFile(state_folder(site.contract.configuration)), wake)
    return Chore("probe", LOOK_EVERY, rounds.look_after, at_once=True, alone=True)
