"""`mta protected`: what was protected, and changing who may open it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from mta.app.commands import acting_for
from mta.app.load import load
from mta.app.vault import open_vault, protection_of
from mta.cli.paint import octets
from mta.cli.vault_words import administrator, end_at, granted_to, item_document, read_reader, stamp
from mta.config.problems import did_you_mean
from mta.contract.configuration import Configuration
from mta.errors import UsageError
from mta.model.protected import Actor, Item, ItemState
from mta.model.rights import Right, expand
from mta.ports.vault import ItemFilter
from mta.vault import grants as use
from mta.vault.attachments import attachments
from mta.vault.grants import Editor, found_item
from mta.vault.history import history
from mta.vault.vault import Vault

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What `mta protected list` was asked for."""

    owner: str = ""
    reader: str = ""
    label: str = ""
    state: str = ""
    limit: int = 1000
    config: str = "connectors.yaml"


def with_vault(config: str, work: Callable[[Vault], Awaitable[T]]) -> T:
    """Do this with the vault of a configuration, with the rights of whoever it belongs to."""
    configuration: Configuration = load(config)

    async def inside() -> T:
        async with open_vault(configuration) as vault:
            return await work(vault)

    with acting_for(protection_of(configuration).store, configuration.server.user):
        return asyncio.run(inside())


def editor(who: str) -> Editor:
    """An owner by address, or whoever gives the command as an administrator."""
    if who:
        return Editor(Actor(read_reader(who), "console", agent=administrator().subject))
    return Editor(administrator(), administrator=True)


def show_list(options: ListOptions, json_output: bool) -> int:
    """Print the items that are meant. Raises UsageError for a state that there is not."""
    states = [state.value for state in ItemState]
    if options.state and options.state not in states:
        raise UsageError(f"there is no state {options.state} ({did_you_mean(options.state, states) or states})")
    which = ItemFilter(
        owner=read_reader(options.owner) if options.owner else "",
        reader=read_reader(options.reader) if options.reader else "",
        label=options.label,
        state=options.state,
        limit=options.limit + 1,
    )
    found = with_vault(options.config, lambda vault: _documents(vault, which))
    more = found[options.limit :]
    if json_output:
        print(json.dumps(found[: options.limit], indent=2))
    for row in [] if json_output else found[: options.limit]:
        end = row["expires"] or "no end"
        print(f"{row['item']}  {row['state']:8}  {row['label'] or row['kind']:14} {row['opens']:>4} opens  {end}")
        print(f"  {row['name'] or '(no name)'} of {row['owner']} for {', '.join(row['readers']) or 'nobody else'}")
    if more and not json_output:
        print(f"there are more: --limit {options.limit * 10}, or say which")
    return 0


async def _documents(vault: Vault, which: ItemFilter) -> list[dict[str, Any]]:
    rows = []
    for item, opens in await vault.store.find(which):
        grants = granted_to(await vault.store.grants(item.granted_as))
        rows.append({**item_document(item, grants), "opens": opens})
    return rows


def show(id: str, config: str, json_output: bool) -> int:
    """Print all that is known of an item. Raises UsageError."""

    async def look(vault: Vault) -> dict[str, Any]:
        item = await found_item(vault, id)
        (_, opens), *_ = await vault.store.find(ItemFilter(id=item.id))
        grants = granted_to(await vault.store.grants(item.granted_as))
        return {
            **item_document(item, grants),
            "opens": opens,
            "grants": grants,
            "attachments": [
                {"item": one.id, "name": one.name, "size": one.size, "state": one.state.value}
                for one in await attachments(vault, item)
            ],
            "events": await history(vault, item.id),
        }

    told = with_vault(config, look)
    print(json.dumps(told, indent=2) if json_output else "\n".join(_story(told)))
    return 0


def _story(told: dict[str, Any]) -> list[str]:
    lines = [
        f"{told['item']}  {told['name'] or '(no name)'}, {octets(told['size'])}, {told['state']}",
        f"  of {told['owner'] or 'an unknown writer'}, label {told['label'] or 'none'}, root key {told['root_key']}",
        f"  sealed {told['created']}, ends {told['expires'] or 'never'}; revoking it means to {told['revocation']}",
    ]
    for grant in told["grants"]:
        rights = ", ".join(f"{right} ({how})" for right, how in grant["rights"].items())
        lines.append(f"  {grant['reader']}: {rights}" + (f" until {grant['expires']}" if grant["expires"] else ""))
    for one in told["attachments"]:
        lines.append(f"  attachment {one['item']}  {one['name']}, {octets(one['size'])}, {one['state']}")
    lines += [f"  {_event(event)}" for event in told["events"]]
    return lines


def _event(event: dict[str, Any]) -> str:
    told = f"{stamp(event['time'])}  #{event['seq']} {event['op']} {event['result']} by {event.get('subject', '?')}"
    return told + (f": {event['reason']}" if event.get("reason") else "")


def change_grant(id: str, reader: str, words: tuple[str, ...], who: str, config: str, json_output: bool) -> int:
    """Give a reader exactly these rights; without any the label's. Raises UsageError, NotOpened."""

    async def work(vault: Vault) -> Item:
        item = await found_item(vault, id)
        rights = _rights(words) or _of_label(vault, item)
        await use.grant(vault, item, read_reader(reader), rights, editor(who))
        return item

    return _changed(with_vault(config, work), config, json_output)


def _rights(words: tuple[str, ...]) -> frozenset[Right]:
    try:
        return expand(words)
    except ValueError as error:
        near = did_you_mean(str(error).upper(), Right.__members__)
        raise UsageError(f"{error} is no right and no set of rights" + (f" ({near})" if near else "")) from None


def _of_label(vault: Vault, item: Item) -> frozenset[Right]:
    label = vault.protection.labels.get(item.label)
    if label is None:
        raise UsageError(f"{item.id} has no label of the configuration; say which rights (--right VIEW)")
    return label.rights


def change(command: str, id: str, reader: str, who: str, config: str, json_output: bool) -> int:
    """revoke, shred, hold or release. Raises UsageError, NotOpened."""

    async def work(vault: Vault) -> Item:
        item = await found_item(vault, id)
        if command == "revoke":
            await use.revoke(vault, item, editor(who), read_reader(reader) if reader else "")
        else:
            await {"shred": use.shred, "hold": use.hold, "release": use.release}[command](vault, item, editor(who))
        return item

    return _changed(with_vault(config, work), config, json_output)


def extend(id: str, until: str, reader: str, who: str, config: str, json_output: bool) -> int:
    """A new end. Raises UsageError, NotOpened."""
    end = end_at(until, time.time())

    async def work(vault: Vault) -> Item:
        item = await found_item(vault, id)
        await use.extend(vault, item, end, editor(who), read_reader(reader) if reader else "")
        return item

    return _changed(with_vault(config, work), config, json_output)


def _changed(item: Item, config: str, json_output: bool) -> int:
    return show(item.id, config, json_output)
