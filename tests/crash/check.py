"""The real store opens what a power cut has left: acknowledged is a subset of what is there, nothing twice or mixed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path

from mta.adapters.sqlite import SqliteQueueStore, open_shard
from mta.model.message import QueuedMessage
from mta.ports import QueueFilter
from tests.crash.workloads import TUNING, body_of, form_of
from tests.support.mail import NOW


def look(folder: Path, told: Iterable[str], *, damaged: bool = False) -> str:
    """What is wrong with the queue in `folder`, in words; empty: nothing. `damaged`: alarms are meant."""
    lines = [line.partition(" ") for line in told]
    acknowledged = {kind: {id_ for k, _, id_ in lines if k == kind} for kind in "ESD"}
    try:
        return asyncio.run(_look(folder, acknowledged, damaged))
    except Exception as error:  # whatever it is, the queue could not be used
        return f"{type(error).__name__}: {error}"


async def _look(folder: Path, told: dict[str, set[str]], damaged: bool) -> str:
    store = open_shard(folder, loop=asyncio.get_running_loop(), tuning=TUNING)
    try:
        if store.alarms and not damaged:
            return f"alarms: {store.alarms}"
        records = [record.message for record in await store.trace(QueueFilter(limit=10_000))]
        states = {m.id: tuple(s.state for s in sorted(m.states, key=lambda s: s.index)) for m in records}
        if len(states) < len(records):
            return "a message is there twice"
        return _missing(states, told) or await _mixed(store, states) or await _counted(store, states)
    finally:
        await store.close()


def _missing(states: dict[str, tuple[str, ...]], told: dict[str, set[str]]) -> str:
    if lost := told["E"] - states.keys():
        return f"acknowledged, and lost: {sorted(lost)}"
    for id_, (first, *rest) in states.items():
        if id_.startswith("n-"):
            continue
        settled = first == "failed"
        if id_ in told["S"] and not settled:
            return f"settled, and forgotten: {id_}"
        if id_ in told["D"] and rest != ["delivered"]:
            return f"delivered, and forgotten: {id_}"
        if settled != (f"n-{id_}" in states):
            return f"the notice of {id_} does not stand and fall with its settlement"
    return ""


async def _mixed(store: SqliteQueueStore, states: dict[str, tuple[str, ...]]) -> str:
    """Each open message is there once, whole, with its own content and form, and its own recipients alone."""
    found = await store.claim(NOW + 2, 10_000)
    waiting = sorted(id_ for id_, each in states.items() if "queued" in each)
    if sorted(message.id for message in found) != waiting:
        return f"{waiting} wait, but {sorted(message.id for message in found)} can be delivered"
    files: set[str] = set()
    for message in found:
        if fault := await _is_itself(store, message, states[message.id], files):
            return f"{message.id}: {fault}"
    there = {path.name for path in (store.folder / "content").iterdir()}
    return "" if there == files else f"files {sorted(there)}, but {sorted(files)} are named"


async def _is_itself(store: SqliteQueueStore, message: QueuedMessage, states: tuple[str, ...], files: set[str]) -> str:
    wanted = {0: body_of(message.id), **({1: form_of(message.id)} if states[0] == "failed" else {})}
    contents = {0: message.content, **{form.number: form.content for form in message.forms}}
    if contents.keys() != wanted.keys():
        return f"forms {sorted(contents)}, expected {sorted(wanted)}"
    for number, content in contents.items():
        if b"".join([piece async for piece in store.read(content)]) != wanted[number]:
            return f"content {number} is not its own"
        if content.path:
            files.add(Path(content.path).name)
    to = [str(recipient.mailbox) for recipient in message.envelope.recipients]
    return "" if all(message.id.removeprefix("n-") in address for address in to) else f"recipients {to}"


async def _counted(store: SqliteQueueStore, states: dict[str, tuple[str, ...]]) -> str:
    """What the counters say is what is there."""
    each = [state for some in states.values() for state in some]
    counts = (await store.counts()).states
    return "" if counts == {state: each.count(state) for state in set(each)} else f"the counters say {counts}"
