"""The notify step: the reports policy/notify.py decided on, as whole messages that join the settlement."""

from __future__ import annotations

from mta.model.attempt import DeliveryResult
from mta.model.message import NOTICE, Content, QueuedMessage, RecipientState
from mta.pipeline.deliver import Job
from mta.pipeline.site import Site
from mta.policy.notify import Notice, Occasion, addressee, may_return, notices
from mta.policy.route import choose
from mta.ports import RecipientFate
from mta.rfc.dsn.compose import compose


def reports(
    site: Site, job: Job, fates: tuple[RecipientFate, ...], result: DeliveryResult
) -> tuple[tuple[Notice, QueuedMessage], ...]:
    """Every notice that these fates call for, ready to be queued."""
    message = job.message
    server = site.contract.configuration.server
    back = choose(site.contract.index, addressee(message, server)).connector
    bound = may_return(site.contract.configuration, message, fates, job.connector, back)
    occasion = Occasion(message, fates, result, site.clock.now(), bound)
    return tuple((notice, _queued(site, message, notice)) for notice in notices(occasion, server, site.ids.next))


def _queued(site: Site, original: QueuedMessage, notice: Notice) -> QueuedMessage:
    raw = compose(notice.report, original.prefix + original.content.beginning)
    now = site.clock.now()
    route = choose(site.contract.index, notice.to)
    return QueuedMessage(
        id=notice.id,
        envelope=notice.envelope(raw),
        content=Content(len(raw), raw),
        prefix=b"",
        received=now,
        inbound=NOTICE,
        states=(RecipientState(0, route.connector.name, due=now),),
        evidence={"notice": notice.kind, "about": original.id},
    )
