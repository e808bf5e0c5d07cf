"""Looking at a partner's hosts before mail has to go there: dialled, greeted and judged as delivery does it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace

from mta.errors import StorageError
from mta.model.address import Mailbox
from mta.model.attempt import DeliveryResult, Failure
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.pipeline.counts import ReportCounts
from mta.pipeline.deliver import Job, deliver, reach_all
from mta.pipeline.hop import Hops
from mta.pipeline.protect import Protector
from mta.pipeline.site import Site
from mta.pipeline.transform import transform
from mta.policy.notify import postmaster_of
from mta.policy.probe import Look, Target, look
from mta.policy.route import choose, destination
from mta.ports import Spool
from mta.rfc.mime.note import Note, compose_note

INBOUND = "probe"  # the inbound connector of what we send to look whether it arrives
MOST_HOSTS = 50  # addresses of one destination that are looked at
AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found on one way: the hosts in the order they would be asked, or why there are none."""

    target: Target
    looks: tuple[Look, ...] = ()
    failure: Failure | None = None


async def probe_all(site: Site, ways: Iterable[Target]) -> list[Findings]:
    """Look at all of them, some side by side."""
    site = replace(site, reports=ReportCounts())  # a look is no session of mail: it does not stand in reports
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(way: Target) -> Findings:
        async with gate:
            return await _probe(site, way)

    return list(await asyncio.gather(*(one(way) for way in ways)))


async def _probe(site: Site, way: Target) -> Findings:
    hops = Hops(site)  # of its own: nothing kept, nothing held against a host
    reached = await reach_all(site, hops, _job(site, way), MOST_HOSTS)
    if isinstance(reached, Failure):
        return Findings(way, failure=reached)
    looks = []
    for opened in reached:
        extensions: tuple[str, ...] = ()
        if opened.hop is not None:
            extensions = tuple(sorted(opened.hop.connection.capabilities.extensions))
            await opened.hop.connection.quit()
        if opened.attempt is not None:
            looks.append(look(opened.attempt, extensions, site.clock.now()))
    return Findings(way, tuple(looks))


def _job(site: Site, way: Target) -> Job:
    """A delivery with nothing to deliver."""
    nobody = Recipient(Mailbox("postmaster", way.domain, way.domain))
    message = _message(site, Envelope(None, (nobody,)), b"")
    return Job(message, message.states, way.connector, way.destination)


async def send(site: Site, to: Mailbox) -> DeliveryResult:
    """Send a test message the way mail to this address goes, transformed as the contract says, queued nowhere."""
    server = site.contract.configuration.server
    now = site.clock.now()
    note = Note(
        id=site.ids.next(),
        hostname=server.hostname,
        from_=postmaster_of(server).in_ascii,
        to=to.in_ascii,
        date=now,
        subject="Test message",
        paragraphs=("The administrator of this mail system looks whether mail reaches you. Nothing needs to be done.",),
    )
    raw = compose_note(note)
    message = _message(site, Envelope(postmaster_of(server), (Recipient(to),), smtputf8=not to.is_ascii), raw, note.id)
    route = choose(site.contract.index, to)
    target = destination(route.connector.outbound, route.own, to.ascii_domain)
    job = Job(message, message.states, route.connector, target)
    leaving = await transform(site, Protector(site), job, _no_spool)
    hops = Hops(site)
    try:
        return leaving.together([await deliver(site, hops, part.job) for part in leaving.parts])
    finally:
        await hops.close_idle(all_of_them=True)


def _no_spool() -> Spool:
    raise StorageError("a test message is small")


def _message(site: Site, envelope: Envelope, raw: bytes, id_: str = "probe") -> QueuedMessage:
    content = Content(len(raw), raw)
    return QueuedMessage(id_, envelope, content, b"", site.clock.now(), INBOUND, (RecipientState(0, ""),))
