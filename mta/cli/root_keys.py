"""`mta keys root`: making, taking over, showing and ending root keys."""

from __future__ import annotations

import getpass
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mta.app.load import load
from mta.app.root_keys import place_key, read_key, remove_key, take_key
from mta.app.vault import places_of, protection_of
from mta.cli.protected import with_vault
from mta.cli.vault_words import administrator, stamp
from mta.config.problems import did_you_mean
from mta.contract.configuration import Configuration
from mta.contract.protection import RootKeyPlace
from mta.errors import MtaError, UsageError
from mta.model.protected import Actor, KeyState, RootKey
from mta.observe.vault_events import Operation
from mta.vault.root_keys import add_key, change_key, found_key
from mta.vault.root_keys import selftest as prove_key
from mta.vault.vault import Vault


def create(id: str, bits: int, config: str, json_output: bool) -> int:
    """Make the key that the configuration names so. Raises UsageError, MtaError."""
    if bits not in (2048, 3072, 4096):
        raise UsageError(f"a root key has 2048, 3072 or 4096 bits, not {bits}")
    configuration, place = load(config), _place(config, id)

    async def work(vault: Vault) -> RootKey:
        if await vault.root_key(id):
            raise UsageError(f"there is a root key {id} already; an id stays with one key for ever")
        spki = await place_key(configuration, place, bits)
        return await add_key(vault, (id, place.place), spki, Operation.KEY_CREATE, administrator())

    return _shown(with_vault(config, work), json_output, places_of(configuration))


def take_over(id: str, file: str, config: str, json_output: bool) -> int:
    """Take over a key that was made elsewhere: out of a file, or as it lies in its place already. Raises UsageError."""
    configuration, place = load(config), _place(config, id)
    source = read_key(Path(file)) if file else None

    async def work(vault: Vault) -> RootKey:
        if await vault.root_key(id):
            raise UsageError(f"there is a root key {id} already; an id stays with one key for ever")
        spki = await take_key(configuration, place, source)
        return await add_key(vault, (id, place.place), spki, Operation.KEY_IMPORT, administrator())

    return _shown(with_vault(config, work), json_output, places_of(configuration))


def _place(config: str, id: str) -> RootKeyPlace:
    places = {one.id: one for one in protection_of(load(config)).root_keys}
    if id not in places:
        near = did_you_mean(id, places) or f"known: {', '.join(places) or 'none'}"
        raise UsageError(f"protection.root_keys names no key {id} ({near})")
    return places[id]


def show_list(config: str, json_output: bool) -> int:
    """Print all root keys."""
    places = places_of(load(config))

    async def work(vault: Vault) -> list[dict[str, Any]]:
        return [_document(key, places) for key in await vault.store.root_keys()]

    rows = with_vault(config, work)
    if json_output:
        print(json.dumps(rows, indent=2))
    for row in [] if json_output else rows:
        print(f"{row['id']:12} {row['state']:10} RSA {row['bits']}  {row['place']}")
        print(f"  {row['fingerprint']}  since {row['created']}")
    if not rows and not json_output:
        print("there is no root key: `mta keys root create ID` makes one that protection.root_keys names")
    return 0


def selftest(id: str, config: str, json_output: bool) -> int:
    """Prove one key, or all that can open; 1 if one does not hold. Raises UsageError."""

    async def work(vault: Vault) -> list[dict[str, Any]]:
        keys = [await found_key(vault, id)] if id else list(await vault.store.root_keys())
        usable = [key for key in keys if key.state != KeyState.DESTROYED]
        return [{"id": key.id, "fault": await prove_key(vault, key, administrator())} for key in usable]

    rows = with_vault(config, work)
    if json_output:
        print(json.dumps(rows, indent=2))
    for row in [] if json_output else rows:
        print(f"{row['id']}: {row['fault'] or 'good'}")
    return 1 if any(row["fault"] for row in rows) or not rows else 0


def change(wish: str, id: str, by: str, config: str, json_output: bool) -> int:
    """activate, archive, hold, release or destroy. Raises UsageError, MtaError."""
    configuration = load(config)
    actor = Actor(by, "console", agent=f"account {getpass.getuser()}") if by else administrator()

    async def work(vault: Vault) -> RootKey:
        key = await found_key(vault, id)
        if wish != "destroy" or key.state != KeyState.DESTROYED:  # else what was left in its place is still to end
            key = await change_key(vault, id, wish, actor)
        if key.state == KeyState.DESTROYED:
            await _removed(configuration, key)
        return key

    return _shown(with_vault(config, work), json_output, places_of(configuration))


async def _removed(configuration: Configuration, key: RootKey) -> None:
    try:
        await remove_key(configuration, key)
    except MtaError as error:
        text = f"the vault opens nothing more with {key.id}, but the key itself could not be removed: {error}"
        raise MtaError(f"{text}; give the command again when that is mended") from error


def _shown(key: RootKey, json_output: bool, places: Mapping[str, str]) -> int:
    row = _document(key, places)
    if json_output:
        print(json.dumps(row, indent=2))
    else:
        end = f"; destroyed by a second person after {row['destroy_after']}" if row["destroy_after"] else ""
        print(f"{key.id}: {key.state.value}, RSA {key.bits}, {row['place']}{end}")
    return 0


def _document(key: RootKey, places: Mapping[str, str]) -> dict[str, object]:
    return {
        "id": key.id,
        "state": key.state.value,
        "bits": key.bits,
        "place": places.get(key.id, key.place),
        "fingerprint": f"spki-sha256:{hashlib.sha256(key.spki).hexdigest()}",
        "created": stamp(key.created),
        "changed": stamp(key.changed),
        "destroy_after": stamp(key.destroy_after) if key.state != KeyState.DESTROYED else None,
    }
