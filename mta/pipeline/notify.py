"""The notify step: the reports policy/notify.py decided on, as whole messages that join the settlement."""

from __future__ import annotations

from mta.errors import StorageError
from mta.model.attempt import DeliveryResult
from mta.model.evidence.message import Written
from mta.model.lifecycle import DELIVERED
from mta.model.message import NOTICE, Content, QueuedMessage, RecipientState
from mta.pipeline.deliver import Job
from mta.pipeline.portal import is_notice, wish_of
from mta.pipeline.site import Site
from mta.policy.notify import Notice, Occasion, addressee, may_return, notices
from mta.policy.route import choose
from mta.ports import RecipientFate
from mta.rfc.dsn.compose import NOTHING, compose


def reports(
    site: Site, job: Job, fates: tuple[RecipientFate, ...], result: DeliveryResult
) -> tuple[tuple[Notice, QueuedMessage], ...]:
    """Every notice that these fates call for, ready to be queued."""
    message = job.message
    server = site.contract.configuration.server
    back = choose(site.contract.index, addressee(message, server)).connector
    bound = may_return(site.contract.configuration, message, fates, job.connector, back)
    is_due = any(fate.state != DELIVERED or message.envelope.recipients[fate.index].notify for fate in fates)
    if is_due and (is_notice(message) or _is_protected(site, job)):
        bound = NOTHING
    occasion = Occasion(message, fates, result, site.clock.now(), bound)
    return tuple((notice, _queued(site, message, notice)) for notice in notices(occasion, server, site.ids.next))


def _is_protected(site: Site, job: Job) -> bool:
    """Whether the mail was to go to the portal: nothing of it goes back. What cannot be read now may have been."""
    try:
        return wish_of(site, job.connector, job.message) is not None
    except StorageError:
        return True


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
        evidence=Written(notice=notice.kind, about=original.id).to_json(),
    )
