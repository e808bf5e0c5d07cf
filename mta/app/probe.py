"""What looks and sends without a queue: a site of its own, for `mta probe`."""

from __future__ import annotations

import random
from dataclasses import replace

from mta.app.outside import SystemClock, chain_verifier, dialer, resolver
from mta.config.contract import Configuration
from mta.config.index import ConnectorIndex
from mta.observe.log import EventLog
from mta.pipeline.site import Contract, MessageIds, Site

PATIENCE = 30.0  # seconds for each answer of a host: whoever needs longer has a problem worth telling


def looking_site(configuration: Configuration) -> Site:
    """Surroundings like a worker's, with less patience; nothing is written anywhere."""
    from mta.adapters.key_files import KeyFiles

    clock = SystemClock()
    server = configuration.server
    names = [name for name in server.limits.__slots__ if name.endswith("_timeout")]
    patience = {name: min(PATIENCE, getattr(server.limits, name)) for name in names}
    return Site(
        contract=Contract(configuration, ConnectorIndex(configuration), 1),
        clock=clock,
        verifier=chain_verifier(),
        resolver=resolver(configuration),
        dialer=dialer(replace(server, limits=replace(server.limits, **patience))),
        log=EventLog(2, "text"),
        random=random.Random(),  # noqa: S311 - mixes hosts of one preference
        ids=MessageIds(clock),
        keys=KeyFiles(),
    )
