"""What TLS to the next hops of a recipient would have to be now: asked as delivery asks, without dialling anybody."""

from __future__ import annotations

from dataclasses import dataclass

from mta.contract.values import HostPort
from mta.model.address import Mailbox
from mta.model.attempt import Failure
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.pipeline.deliver import Job, find_hosts
from mta.pipeline.discover import discover
from mta.pipeline.site import Site
from mta.policy.deliver import TlsRequirement, strictest
from mta.policy.discover import Findings, Wish
from mta.policy.route import choose, destination


@dataclass(frozen=True, slots=True)
class Prospect:
    """One host: what is published about it, and what it must prove, or why it would not be asked."""

    host: HostPort
    found: Findings
    needed: TlsRequirement | Failure


async def foresee(site: Site, mailbox: Mailbox, wish: Wish) -> tuple[Prospect, ...] | Failure:
    """The hosts of a recipient in the order in which they would be asked, or why there are none."""
    route = choose(site.contract.index, mailbox)
    connector, outbound = route.connector, route.connector.outbound
    way = destination(outbound, route.own, mailbox.ascii_domain)
    envelope = Envelope(None, (Recipient(mailbox),))
    message = QueuedMessage("foresee", envelope, Content(0, b""), b"", 0.0, "", (RecipientState(0, connector.name),))
    places = await find_hosts(site, Job(message, message.states, connector, way))
    if isinstance(places, Failure):
        return places
    hops = {address.hop.host: address.hop for address in places}  # each once, however many addresses it has
    findings = {host: await discover(site, outbound, way, hop) for host, hop in hops.items()}
    return tuple(
        Prospect(host, finding, strictest(outbound, way, host, finding, wish)) for host, finding in findings.items()
    )
