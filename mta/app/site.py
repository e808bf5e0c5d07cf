"""The surroundings of every step, built from one configuration: of a worker, or of a command that looks or sends."""

from __future__ import annotations

import random

from mta.adapters.oauth_tokens import OAuthTokens
from mta.app.directory import take_over
from mta.app.keys import key_provider, key_ring
from mta.app.outside import SystemClock, chain_verifier, dialer, resolver, sts_policies
from mta.config.contract import Configuration
from mta.config.index import ConnectorIndex
from mta.observe.log import EventLog
from mta.pipeline.site import Contract, MessageIds, Site
from mta.ports.vault import MailVault


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
    site.mail_vault = _portal_mail(configuration)
    site.access_tokens = OAuthTokens(lambda: site.resolver, clock)
    take_over(site, None)
    return site


def alone(configuration: Configuration) -> Contract:
    """The contract of a command that never reloads."""
    return Contract(configuration, ConnectorIndex(configuration), 1)


def renew(site: Site, fresh: Contract) -> None:
    """Exchange the ports that know the configuration; the caller exchanges the contract itself."""
    take_over(site, fresh)
    known = fresh.configuration
    site.verifier = chain_verifier()
    site.resolver = resolver(known)
    site.dialer = dialer(known.server)
    site.keys = key_provider(known)
    site.key_ring = key_ring(known)
    site.policies = sts_policies(known, site.resolver)
    site.mail_vault = _portal_mail(known)


def _portal_mail(configuration: Configuration) -> MailVault | None:
    """What it needs is loaded where something is protected only."""
    if configuration.protection is None:
        return None
    from mta.app.vault import portal_mail

    return portal_mail(configuration)
