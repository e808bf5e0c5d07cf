"""A relay's inbound half with everything around it made by hand: the store, the clock, the hops, the log."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

from mta.contract.index import ConnectorIndex
from mta.contract.limits import Limits
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content, QueuedMessage
from mta.model.reply import Reply
from mta.model.session import SessionFacts
from mta.observe.log import EventLog
from mta.pipeline.inbound import InboundRelay, RelaySession
from mta.pipeline.site import Contract, MessageIds, Shard, Site
from mta.ports import AddressAnswer, DnsStatus
from tests.support.smtp_server import FakeSpool
from tests.unit.policy.world import NOW, SERVER, STRANGER, VERIFIER, configuration, mailbox

HEADER = b"From: someone@elsewhere.example\r\nSubject: x\r\n"
MESSAGE = HEADER + b"\r\nbody\r\n"


class FakeClock:
    """Stands still until a test moves it."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return self.at


class FakeResolver:
    """Knows every host."""

    async def addresses(self, host: str) -> AddressAnswer:
        return AddressAnswer(DnsStatus.OK, ("192.0.2.25",))


@dataclass
class FakeStore:
    """Takes messages, or raises `trouble`."""

    taken: list[QueuedMessage] = field(default_factory=list)
    claims: list[bool] = field(default_factory=list)
    trouble: Exception | None = None
    siblings: int = 0
    spools: list[FakeSpool] = field(default_factory=list)
    full_after: int = -1  # octets, of a spool
    released: list[str] = field(default_factory=list)

    def expect(self, change: int) -> None:
        self.siblings += change

    async def release_claim(self, message_id: str) -> None:
        self.released.append(message_id)

    def spool(self) -> FakeSpool:
        self.spools.append(FakeSpool(self.full_after))
        return self.spools[-1]

    async def enqueue(self, message: QueuedMessage, *, claim: bool = False) -> None:
        if self.trouble:
            raise self.trouble
        self.taken.append(message)
        self.claims.append(claim)


@dataclass
class FakeOutbound:
    """Delivers nothing; `hops` are a test's."""

    hops: Any = None
    capacity: int = 1
    submitted: list[QueuedMessage] = field(default_factory=list)

    def submit(self, shard: Shard, message: QueuedMessage) -> None:
        self.submitted.append(message)


class World:
    """The relay under test. `limits` are the server's; `parts` go to the configuration."""

    def __init__(self, *connectors: Any, hops: Any = None, limits: dict[str, Any] | None = None, **parts: Any) -> None:
        server = replace(SERVER, limits=Limits(**(limits or {})))
        known = configuration(*connectors, server=server, **parts)
        self.clock = FakeClock()
        self._read, write = os.pipe()
        os.set_blocking(self._read, False)
        site: Any = Site(
            Contract(known, ConnectorIndex(known), 1),
            self.clock,
            VERIFIER,
            FakeResolver(),  # type: ignore[arg-type]
            SimpleNamespace(),  # type: ignore[arg-type]  # nothing is dialled
            EventLog(write, "json"),
            Random(1),
            MessageIds(self.clock),
            SimpleNamespace(),  # type: ignore[arg-type]  # nothing is signed
        )
        self.site = site
        self.store, self.outbound = FakeStore(), FakeOutbound(hops)
        self.woken = 0
        self.relay = InboundRelay(site, Shard(0, self.store), self.outbound, self.wake)  # type: ignore[arg-type]

    def wake(self) -> None:
        self.woken += 1

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """What has been logged since the last question."""
        try:
            raw = os.read(self._read, 1_000_000)
        except BlockingIOError:
            return []
        found = [json.loads(line) for line in raw.splitlines()]
        return [event for event in found if event["event"] == name or not name]

    def open(self, facts: SessionFacts = STRANGER) -> RelaySession:
        """A session that was let in."""
        session = self.relay.session()
        assert session.opened(facts) is None
        return session

    async def send(
        self,
        content: bytes | Content = MESSAGE,
        *,
        sender: str = "someone@elsewhere.example",
        recipients: tuple[str, ...] = ("alice@contoso.example",),
        facts: SessionFacts = STRANGER,
        **envelope: Any,
    ) -> Reply:
        """A whole transaction in a session of its own; the last reply that was given."""
        session = self.open(facts)
        answer = session.mail(facts, Envelope(mailbox(sender) if sender else None, **envelope))
        for recipient in recipients:
            if answer.positive:
                answer = await session.recipient(facts, Recipient(mailbox(recipient)))
        if answer.positive:
            session.data_begins()
            known = Content(len(content), content) if isinstance(content, bytes) else content
            answer = await session.message(facts, known)
        session.closed(facts, "")
        return answer


def spooled(folder: Path, content: bytes, head: int = 200) -> Content:
    """`content` as it lies in a file, of which only the head is in memory."""
    path = folder / "spooled"
    path.write_bytes(content)
    return Content(len(content), path=str(path), head=content[:head])
