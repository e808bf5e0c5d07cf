"""Mail that is held until there is a certificate of its recipient: looked at now and then, released once there is."""

from __future__ import annotations

from collections.abc import Sequence

from mta.model.directory import DirectoryStatus
from mta.model.lifecycle import HELD, QUEUED
from mta.model.message import QueuedMessage, RecipientState
from mta.model.word import Word
from mta.observe import events
from mta.pipeline.identity import fitting
from mta.pipeline.site import Shard, Site
from mta.policy.route import choose, connector_now
from mta.ports import Event, QueueFilter, RecipientFate, Settlement


async def release_awaited(site: Site, shards: Sequence[Shard]) -> bool:
    """Release what waits for a certificate that has appeared, or for one that no contract demands any more."""
    released = False
    for shard in shards:
        if not (await shard.store.counts()).states.get(HELD):
            continue
        for message in await shard.store.search(QueueFilter(state=HELD)):
            ready = [state for state in message.states if _awaits(state) and await _is_ready(site, message, state)]
            if ready:
                await _release(site, shard, message, ready)
                released = True
    return released


def _awaits(state: RecipientState) -> bool:
    return state.state == HELD and state.word == Word.SMIME_NO_CERTIFICATE


async def _is_ready(site: Site, message: QueuedMessage, state: RecipientState) -> bool:
    """Whether an attempt would come to more than holding it again; where the connector has vanished it would not."""
    mailbox, contract = message.envelope.recipients[state.index].mailbox, site.contract
    connector = connector_now(contract.configuration, state.connector, choose(contract.index, mailbox).connector)
    if connector is None:
        return False
    smime = connector.outbound.smime
    if smime.encrypt != "required" or smime.without_certificate != "hold":
        return True  # the attempt decides anew
    answer = fitting(smime.profile, await site.directory.lookup(mailbox))
    return answer.status is DirectoryStatus.FOUND


async def _release(site: Site, shard: Shard, message: QueuedMessage, ready: Sequence[RecipientState]) -> None:
    now = site.clock.now()
    fates = tuple(RecipientFate(s.index, QUEUED, s.reason, due=now, counted=False, word=s.word) for s in ready)
    places = tuple(state.index for state in ready)
    detail: dict[str, object] = {"by": "mta", "note": "a certificate of the recipient has appeared"}
    history = (Event(now, events.MESSAGE_RELEASED, detail, places),)
    await shard.store.settle(Settlement(message.id, now, fates, history, by_operator=True))
    site.log.info(events.MESSAGE_RELEASED, message=message.id, note=detail["note"])
