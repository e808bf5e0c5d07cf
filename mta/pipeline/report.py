"""The report step: each session that was dialled is counted for the daily reports, where they are wanted."""

from __future__ import annotations

from collections.abc import Sequence

from mta.model.attempt import HostAttempt
from mta.model.message import REPORT, QueuedMessage
from mta.model.reporting import TlsReportFacts
from mta.pipeline.site import Site
from mta.policy.deliver import TlsRequirement
from mta.policy.report import tls_session
from mta.policy.route import Destination

INBOUND = REPORT


def wants_tls(site: Site, message: QueuedMessage) -> bool:
    """Whether sessions of this message count. RFC 8460 §3: those that carry reports do not, else they would breed."""
    return site.contract.configuration.server.reports.tls and message.inbound != INBOUND


def policies_found(site: Site, message: QueuedMessage, troubles: Sequence[TlsReportFacts]) -> None:
    """Count what was wrong with the policies that a domain publishes, whether a session came of it or not."""
    if troubles and wants_tls(site, message):
        for facts in troubles:
            site.reports.tls(facts, site.clock.now())


def session_ended(
    site: Site, message: QueuedMessage, destination: Destination, needed: TlsRequirement, attempt: HostAttempt
) -> None:
    """Count one session with a host: TLS was reached, or not, or the host could not be asked at all."""
    if not wants_tls(site, message):
        return
    facts = tls_session(destination, needed, attempt)
    if facts is not None:
        site.reports.tls(facts, site.clock.now())
