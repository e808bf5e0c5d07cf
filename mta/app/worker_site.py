"""The surroundings of a worker: those of everyone (site.py), the vault for protected mail, and their exchange."""

from __future__ import annotations

from mta.app.directory import take_over
from mta.app.keys import key_provider, key_ring
from mta.app.outside import chain_verifier, dialer, resolver, sts_policies
from mta.app.site import make_site
from mta.contract.configuration import Configuration
from mta.observe.log import EventLog
from mta.pipeline.site import Contract, Site
from mta.ports.mail_vault import MailVault


def make_worker_site(contract: Contract, log: EventLog) -> Site:
    """All that the contract's configuration asks for, and the way to the portal."""
    site = make_site(contract, log)
    site.mail_vault = _portal_mail(contract.configuration)
    return site


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
