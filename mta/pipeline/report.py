"""The report step: judged messages and dialled sessions are counted for the daily reports, where they are wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from mta.model.attempt import HostAttempt
from mta.model.auth import AuthenticationFacts
from mta.model.envelope import Recipient
from mta.model.message import REPORT, Content, QueuedMessage
from mta.model.reporting import TlsReportFacts
from mta.pipeline.counts import DmarcFacts
from mta.pipeline.site import Site
from mta.policy.decision import Decision
from mta.policy.deliver import TlsRequirement
from mta.policy.report import dmarc_row, tls_session
from mta.policy.route import Destination
from mta.policy.sts import NO_POLICY, StsFinding, rehearse

MAX_MESSAGE = 15 * 1024 * 1024  # octets: ten of a packed report in base64, and room
INBOUND = REPORT


class Sent(Protocol):
    """What a session was for (pipeline/deliver.Job)."""

    @property
    def message(self) -> QueuedMessage:
        """The message."""
        ...

    @property
    def destination(self) -> Destination:
        """Where it goes."""
        ...


def wants_tls(site: Site, message: QueuedMessage) -> bool:
    """Whether sessions of this message count. RFC 8460 §3: those that carry reports do not, else they would breed."""
    return site.contract.configuration.server.reports.tls and message.inbound != INBOUND


def policies_found(site: Site, message: QueuedMessage, troubles: Sequence[TlsReportFacts]) -> None:
    """Count what was wrong with the policies that a domain publishes, whether a session came of it or not."""
    if troubles and wants_tls(site, message):
        for facts in troubles:
            site.reports.tls(facts, site.clock.now())


def session_ended(
    site: Site, job: Sent, needed: TlsRequirement, attempt: HostAttempt, policy: StsFinding = NO_POLICY
) -> None:
    """Count one session with a host: TLS was reached, or not, or the host could not be asked at all."""
    if not wants_tls(site, job.message):
        return
    rehearsed = rehearse(policy, attempt.host, attempt.tls, site.verifier, site.clock.now())
    facts = tls_session(job.destination, needed, attempt, rehearsed)
    if facts is not None:
        site.reports.tls(facts, site.clock.now())


def message_judged(
    site: Site, facts: AuthenticationFacts | None, decision: Decision, recipients: Sequence[Recipient]
) -> None:
    """Count one message that was taken or refused for good. Reports that others send us do not count."""
    reports = site.contract.configuration.server.reports
    if not reports.dmarc or facts is None or facts.dmarc is None:
        return
    mailboxes = [recipient.mailbox for recipient in recipients]
    if reports.receive and all(mailbox.key in reports.receive for mailbox in mailboxes):
        return
    domains = {mailbox.ascii_domain for mailbox in mailboxes}
    row = dmarc_row(facts, decision, domains.pop() if len(domains) == 1 else "")
    if row is not None:
        site.reports.dmarc(DmarcFacts(facts.dmarc.policy_domain, facts.dmarc.record, row), site.clock.now())


async def report_in(site: Site, recipients: Sequence[Recipient], content: Content) -> bytes:
    """The whole message, if it is for an address where reports of others arrive; else empty.

    It is mail in the first place: what cannot be read back now is not kept as a report.
    """
    receive = site.contract.configuration.server.reports.receive
    if not receive or not any(recipient.mailbox.key in receive for recipient in recipients):
        return b""
    if content.size > MAX_MESSAGE:
        return b""
    return content.data if content.path is None and content.data else await asyncio.to_thread(_whole, content)


def _whole(content: Content) -> bytes:
    try:
        with open(content.path or "", "rb") as file:
            return file.read(MAX_MESSAGE)
    except OSError:
        return b""
