"""Items of the vault that became of a message, as `mta trace` tells of them: who may open them, who has, and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mta.app.commands import acting_for
from mta.app.vault import open_vault
from mta.cli.ask import look
from mta.cli.paint import Paint
from mta.cli.vault_words import stamp
from mta.errors import ConfigurationError, MtaError
from mta.model.protected import Grant, Item, ItemState
from mta.observe.vault_events import Operation, Result
from mta.vault.history import history
from mta.vault.vault import Vault

_OPENED = {Operation.OPEN, Operation.READ, Operation.REWRAP, Operation.DOWNLOAD, Operation.SUPER_USER}
_MOST_SHOWN = 20  # openings that are written out for people
_IN = "    "


def add_items(config: str, messages: Sequence[dict[str, object]]) -> None:
    """Put what the vault knows of their items beside the messages that have some (`items`)."""
    wanted = {id for message in messages for id in _ids(message)}
    if not wanted:
        return
    known = _known(config, wanted)
    for message in messages:
        if ids := list(dict.fromkeys(_ids(message))):
            message["items"] = [known.get(id, {"item": id, "state": "unknown"}) for id in ids]


def _ids(message: dict[str, Any]) -> Iterator[str]:
    if id := message["accepted"].get("item"):  # a notice
        yield id
    for event in message["events"]:
        yield from (copy["item"] for copy in event.get("protection") or () if copy.get("item"))


def _known(config: str, wanted: Iterable[str]) -> dict[str, dict[str, object]]:
    """Documents by the items' ids; of none where there is no vault, or it cannot be read now."""

    async def read() -> dict[str, dict[str, Any]]:
        async with open_vault(configuration) as vault:
            found = {id: await vault.store.item(id) for id in wanted}
            return {id: await _document(vault, item) for id, item in found.items() if item is not None}

    try:
        configuration = look(config)
        protection = configuration.protection
        if protection is None or not Path(protection.store, "vault.db").exists():
            return {}
        with acting_for(protection.store, configuration.server.user):
            return asyncio.run(read())
    except (ConfigurationError, MtaError):
        return {}


async def _document(vault: Vault, item: Item) -> dict[str, object]:
    grants, events = await vault.store.grants(item.id), await history(vault, item.id)
    sealed = next((event for event in events if event.get("op") == Operation.PROTECT), {})
    return {
        "item": item.id,
        "kind": item.kind,
        "label": item.label,
        "owner": item.owner,
        "state": item.state.value,
        "expires": stamp(item.not_after),
        "protected": {
            "at": stamp(item.created),
            "by": sealed.get("subject", ""),
            "method": sealed.get("method", ""),
            "root_key": item.key,
            "revocation": item.revocation,
        },
        "readers": [_reader(grant, item) for grant in grants if grant.reader != item.owner],
        "opened": [_opening(event) for event in events if _is_opening(event)],
    }


def _reader(grant: Grant, item: Item) -> dict[str, object]:
    now = time.time()
    if grant.revoked_at:
        state = "revoked"
    elif item.state != ItemState.LIVE:
        state = item.state.value
    else:
        state = "over" if 0 < grant.not_after <= now or 0 < item.not_after <= now else "may open"
    told = {"reader": grant.reader, "state": state, "until": stamp(grant.not_after or item.not_after)}
    return {**told, **({"hidden": True} if grant.hidden else {})}


def _is_opening(event: dict[str, object]) -> bool:
    return event.get("op") in _OPENED and event.get("result") in (Result.PERMITTED, Result.DONE)


def _opening(event: dict[str, Any]) -> dict[str, Any]:
    return {
        "by": event.get("subject", ""),
        "at": stamp(event["time"]),
        "how": event["op"],
        "method": event.get("method", ""),
        "ip": event.get("ip", ""),
        "entry": event["seq"],
    }


def item_story(message: dict[str, Any], paint: Paint) -> Iterator[str]:
    """The same in words."""
    for item in message.get("items", ()):
        if item["state"] == "unknown":
            yield f"  item {paint('name', item['item'])}: the vault does not know it, or cannot be read now"
            continue
        ends = f", ends {item['expires']}" if item["expires"] else ""
        kind = "good" if item["state"] == ItemState.LIVE else "warn"
        yield f"  item {paint('name', item['item'])} is {paint(kind, item['state'])}, label {item['label']}{ends}"
        sealed = item["protected"]
        yield f"{_IN}sealed {sealed['at']} for {item['owner']} to the root key {sealed['root_key']}"
        for reader in item["readers"]:
            until = f" until {reader['until']}" if reader["until"] and reader["state"] == "may open" else ""
            hidden = " (hidden from the others)" if reader.get("hidden") else ""
            yield f"{_IN}{paint('name', reader['reader'])}: {reader['state']}{until}{hidden}"
        yield from _openings(item["opened"], paint)


def _openings(opened: list[dict[str, object]], paint: Paint) -> Iterator[str]:
    if not opened:
        yield f"{_IN}{paint('dim', 'nobody has opened it')}"
    for one in opened[:_MOST_SHOWN]:
        where = f" from {one['ip']}" if one["ip"] else ""
        who = f"{paint('name', one['by'])} ({one['method']}){where}"
        yield f"{_IN}{one['at']}  {one['how']} by {who}, entry {one['entry']}"
    if len(opened) > _MOST_SHOWN:
        yield f"{_IN}and {len(opened) - _MOST_SHOWN} more: mta protected show"
