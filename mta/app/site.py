"""The surroundings of every step, from one configuration, for whoever looks or sends (a worker: worker_site.py)."""

from __future__ import annotations

import random

from mta.adapters.oauth_tokens import OAuthTokens
from mta.app.directory import take_over
from mta.app.keys import key_provider, key_ring
from mta.app.outside import SystemClock, chain_verifier, dialer, resolver, sts_policies
from mta.contract.configuration import Configuration
from mta.contract.index import ConnectorIndex
from mta.observe.log import EventLog
from mta.pipeline.site import Contract, MessageIds, Site


def make_site(contract: Contract, log: EventLog) -> Site:
    """All that the contract's configuration asks for."""
    configuration, clock = contract.configuration, SystemClock()
    names = resolver(configuration)
    site = Site(
        contract=contract,
        clock=clock,
        verifier=chain_verifier(),
        resolver=names,
        dialer=dialer(configuration.server),
        log=log,
        random=random.Random(),  # noqa: S311 - spreads retries and mixes hosts, hides nothing
        ids=MessageIds(clock),
        keys=key_provider(configuration),
        key_ring=key_ring(configuration),
        policies=sts_policies(configuration, names),
    )
    site.access_tokens = OAuthTokens(lambda: site.resolver, clock)
    take_over(site, None)
    return site


def alone(configuration: Configuration) -> Contract:
    """The contract of a command that never reloads."""
    return Contract(configuration, ConnectorIndex(configuration), 1)
