"""The round of looks at all partners, now and then: what has changed, or will break, is told once.

Told means: an `alarm` in the log (and with it in the numbers), and one mail to the postmaster for all of a round.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from mta.contract.certificates import Known, known_certificates
from mta.contract.configuration import Configuration
from mta.contract.server import Probing
from mta.model.evidence.message import Written
from mta.model.message import QueuedMessage
from mta.model.seen import Memory, Seen
from mta.observe import events
from mta.pipeline.probe import Findings, probe_all
from mta.pipeline.site import Shard, Site
from mta.policy.notify import postmaster_of
from mta.policy.probe import Alarm, Look, alarms, all_targets, own_alarms, remember, together, unreachable
from mta.ports import SeenStore
from mta.queue.letter import letter

LOOK_EVERY = 0.5  # seconds between looks whether a round is due


@dataclass(slots=True)
class Rounds:
    """The first worker's. `shard` takes the mail; `wake` tells its scheduler."""

    site: Site
    shard: Shard
    store: SeenStore
    wake: Callable[[], None]
    _memory: Memory | None = field(default=None)

    async def look_after(self) -> None:
        """Make a round if one is due. Raises StorageError; what was told is not told again all the same."""
        wanted = self.site.contract.configuration.server.probing
        if wanted is None:
            return
        if self._memory is None:
            self._memory = await asyncio.to_thread(self.store.read)
        now = self.site.clock.now()
        if 0 <= now - self._memory.at < wanted.every:
            return
        await self._round(wanted, self._memory)

    async def _round(self, wanted: Probing, before: Memory) -> None:
        contract = self.site.contract
        ways = [way for way in all_targets(contract.index) if way.connector.probed]
        findings = await probe_all(self.site, ways)
        own = await asyncio.to_thread(known_certificates, contract.configuration)
        if self.site.contract.generation != contract.generation:
            return  # what was found was demanded by a contract that is in force no more: the next look makes the round
        now = self.site.clock.now()
        memory, told = judged(before, findings, now, wanted.warn)
        kept, ours = own_alarms(before.told, _ends(own), now, wanted.warn)
        self._memory = replace(memory, told=kept)
        fresh = (*ours, *told)
        for alarm in fresh:
            whom = _about(contract.configuration, alarm)
            more = {"about": whom} if whom else {}
            self.site.log.error(events.ALARM, alarm=alarm.word, where=alarm.where, text=alarm.text, **more)
        self.site.log.info(events.PROBED, hosts=len(memory.hosts), alarms=len(fresh))
        if fresh:
            await self.shard.store.enqueue(_letter(self.site, fresh))
            self.wake()
        await asyncio.to_thread(self.store.write, self._memory)


def judged(before: Memory, found: Iterable[Findings], now: float, warn: float) -> tuple[Memory, list[Alarm]]:
    """The memory after a round, and what is new in it. Hosts that nobody looks at any more are forgotten."""
    hosts: dict[str, Seen] = {}
    fresh_alarms: list[Alarm] = []
    for findings in found:
        name = findings.target.connector.name
        looks: dict[str, list[Look]] = {}
        for look in findings.looks:
            looks.setdefault(f"{name}/{look.attempt.host}:{look.attempt.port}", []).append(look)
        if findings.failure:
            looks = {f"{name}/{findings.target.destination.name}": [unreachable(findings.failure)]}
        for where, addresses in looks.items():
            memory = hosts.get(where) or before.hosts.get(where)
            seen = remember(memory, together(memory, addresses), now)
            hosts[where], fresh = alarms(where, memory, seen, now, warn)
            fresh_alarms += fresh
    return Memory(now, hosts), fresh_alarms


def _ends(certificates: Iterable[Known]) -> list[tuple[str, str, str, float]]:
    """What ends of ours: a key that tells it apart, where it is named, what it is, when."""
    return [
        (each.sha256 or each.file, each.where, f"{each.subject} ({each.kind})", each.not_after)
        for each in certificates
        if each.not_after
    ]


def _about(configuration: Configuration, alarm: Alarm) -> str:
    """What people wrote down of the connector whose alarm it is."""
    connector = configuration.connectors.get(alarm.where.partition("/")[0])
    return connector.about if connector else ""


def _letter(site: Site, alarms: Iterable[Alarm]) -> QueuedMessage:
    """One mail to the postmaster for all of a round."""
    server = site.contract.configuration.server
    alarms = tuple(alarms)
    words = [f"{alarm.where}: {alarm.text} ({alarm.word})" for alarm in alarms]
    people = [_about(site.contract.configuration, alarm) for alarm in alarms]
    more = f" and {len(words) - 1} more" if len(words) > 1 else ""
    paragraphs = (
        f"The mail relay {server.hostname} has looked at its partners' hosts and at its own certificates. "
        "This is new since it looked last; it will not be told again while it lasts.",
        *(f"{line}; {about}" if about else line for line, about in zip(words, people, strict=True)),
        "`mta probe --all` looks again, `mta certs list` tells what ends when.",
    )
    subject = f"Mail relay {server.hostname}: {words[0][:120]}{more}"
    return letter(site, postmaster_of(server), subject, paragraphs, Written(notice="alarm", about=words[0][:200]))
