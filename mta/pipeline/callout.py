"""Call-out: ask the system behind us whether a recipient exists, under its connector's TLS, and remember the answer."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from mta.errors import ConnectFailed, RemoteProtocolError, TlsFailed
from mta.model.address import Mailbox
from mta.model.attempt import Failure
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.pipeline.deliver import Job, find_hosts
from mta.pipeline.discover import discover
from mta.pipeline.hop import Hops
from mta.pipeline.site import Contract, Site
from mta.policy.deliver import strictest
from mta.policy.recipient import mailbox_exists
from mta.policy.route import Route, destination

KNOWN_FOR = 3600.0  # seconds a "yes" holds
UNKNOWN_FOR = 600.0  # seconds a "no" holds: a mailbox just made is found soon
REMEMBERED = 50_000
PATIENCE = 100.0  # seconds the client waits for us at RCPT (RFC 5321 §4.5.3.2.3: it may give up after 300)


class CallOuts:
    """Answers `does this mailbox exist` with yes, no, or None where nobody said."""

    def __init__(self, site: Site, hops: Hops) -> None:
        self._site = site
        self._hops = hops
        self._memory: OrderedDict[tuple[int, str], tuple[float, bool]] = OrderedDict()
        self._asking: dict[tuple[int, str], asyncio.Task[bool | None]] = {}

    async def exists(self, contract: Contract, mailbox: Mailbox, route: Route) -> bool | None:
        """Ask, unless it is remembered or being asked; an answer that comes too late is remembered all the same."""
        key = (contract.generation, mailbox.key)
        until, answer = self._memory.get(key, (0.0, False))
        if until > self._site.clock.monotonic():
            return answer
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._learn(key, mailbox, route))
        await asyncio.wait((task,), timeout=PATIENCE)
        return task.result() if task.done() else None

    async def _learn(self, key: tuple[int, str], mailbox: Mailbox, route: Route) -> bool | None:
        try:
            fresh = await self._ask(key[0], mailbox, route)
        except Exception as error:  # nobody knows, then
            self._site.log.defect(f"call-out for {mailbox}", error)
            fresh = None
        finally:
            del self._asking[key]
        if fresh is not None:
            self._memory[key] = (self._site.clock.monotonic() + (KNOWN_FOR if fresh else UNKNOWN_FOR), fresh)
            self._memory.move_to_end(key)
            while len(self._memory) > REMEMBERED:
                self._memory.popitem(last=False)
        return fresh

    async def _ask(self, generation: int, mailbox: Mailbox, route: Route) -> bool | None:
        envelope = Envelope(None, (Recipient(mailbox),), smtputf8=not mailbox.is_ascii)
        target = destination(route.connector.outbound, route.own, mailbox.ascii_domain)
        message = QueuedMessage("callout", envelope, Content(0, b""), b"", 0.0, "", (RecipientState(0, ""),))
        job = Job(message, message.states, route.connector, target)
        hosts = await find_hosts(self._site, job)
        if not isinstance(hosts, list):
            return None
        outbound = route.connector.outbound
        for each in hosts:
            needed = strictest(outbound, target, each.hop.host, await discover(self._site, outbound, target, each.hop))
            if isinstance(needed, Failure):
                continue
            if generation != self._site.contract.generation:
                return None  # nobody is asked by a contract that is in force no more
            opened = await self._hops.open(outbound, needed, each.hop.host, each.address)
            if opened.hop is None:
                continue
            try:
                mail, rcpt = await opened.hop.connection.probe_recipient(envelope)
            except (ConnectFailed, TlsFailed, RemoteProtocolError):
                opened.hop.connection.abort()
                continue
            self._hops.keep(opened.hop)
            exists = mailbox_exists(rcpt) if mail.positive and rcpt is not None else None
            if exists is not None:
                return exists
        return None
