"""What `mta check` and `mta certs list` see of root keys: in their places, and in the vault."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mta.adapters.privileges import acting_for
from mta.app.log_witnesses import witness_findings
from mta.app.root_keys import token_maker
from mta.config.problems import Path as Place
from mta.contract.certificates import Known
from mta.contract.configuration import Configuration
from mta.contract.protection import Protection, RootKeyPlace
from mta.contract.values import TOKEN
from mta.errors import KeyAway, MtaError, StorageError, UsageError
from mta.model.protected import KeyState, RootKey
from mta.vault.root_keys import root_key_bits

Finding = tuple[Place, str, str]  # where, what, and what to do


@dataclass(slots=True)
class Findings:
    """What is wrong, and what only may be. `failed`: tokens that are not to be asked again."""

    problems: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)


def examine_root_keys(configuration: Configuration, failed: set[str]) -> Findings:
    """The vault's folder and each root key, with the rights of whoever runs this."""
    found, protection = Findings(failed=failed), configuration.protection
    if protection is None:
        return found
    fault = _folder_fault(Path(protection.store))
    if fault:
        found.problems.append((("protection", "store"), fault, "mta writes items, grants and the log there"))
        return found
    try:
        known = known_keys(protection)
        for wrong, place, text, hint in witness_findings(protection, time.time()):
            (found.problems if wrong else found.warnings).append((place, text, hint))
    except StorageError as error:
        found.problems.append((("protection", "store"), str(error), ""))
        return found
    asyncio.run(_examine(configuration, known, found))
    return found


def known_keys(protection: Protection) -> dict[str, RootKey]:
    """The root keys that the vault knows, by id; nothing is made where there is no vault yet. Raises StorageError."""
    from mta.adapters.vault_sqlite import open_vault

    folder = Path(protection.store)
    if not (folder / "vault.db").exists():
        return {}

    async def read() -> dict[str, RootKey]:
        store = open_vault(folder)
        try:
            return {key.id: key for key in await store.root_keys()}
        finally:
            await store.close()

    return asyncio.run(read())


def _folder_fault(folder: Path) -> str:
    """Why the vault cannot be kept there; empty if it can. A folder that is missing is made at the start."""
    if folder.exists() and not folder.is_dir():
        return f"{folder} is no folder"
    there = folder
    while not there.exists():
        there = there.parent
    if os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        return ""
    return f"the folder {folder} cannot be used" + ("" if there == folder else f": {there} cannot be written")


async def _examine(configuration: Configuration, known: Mapping[str, RootKey], found: Findings) -> None:
    assert configuration.protection is not None
    for number, place in enumerate(configuration.protection.root_keys):
        key = known.get(place.id)
        if key is not None and key.state == KeyState.DESTROYED:
            continue
        where: Place = ("protection", "root_keys", number, "key")
        try:
            spki = await _public(configuration, place, found.failed)
        except MtaError as error:
            found.problems.append((where, str(error), _advice(place)))
            continue
        _judge(place, key, spki, (where, found))


def _judge(place: RootKeyPlace, key: RootKey | None, spki: bytes | None, at: tuple[Place, Findings]) -> None:
    where, found = at
    if key is None:
        word = "create" if spki is None else "import"
        text = f"the vault does not know the root key {place.id}"
        found.warnings.append((where, text, f"mta keys root {word} {place.id}"))
    elif spki is None and _asked(place, found.failed):
        text = f"the root key {place.id} is not in its place: what was sealed to it does not open"
        found.problems.append((where, text, "write where it is now, or bring it back from its backup"))
    elif spki is not None and spki != key.spki:
        text = f"another key than the one that the vault calls {place.id}"
        found.problems.append((where, text, "an id stays with one key for ever"))


async def _public(configuration: Configuration, place: RootKeyPlace, failed: set[str]) -> bytes | None:
    """The public half of what is in the place, None if nothing is. Raises MtaError for what cannot be a root key."""
    if not place.place.startswith(TOKEN):
        return _in_file(Path(place.place))
    token = _token(place)
    if token in failed:
        return None
    from mta.adapters.token_pool.pool import KeyMissing

    async with token_maker(configuration, writes=False) as maker:
        try:
            spki = await maker.take(place.place)
        except KeyMissing:
            return None
        except KeyAway:
            failed.add(token)
            raise
    root_key_bits(spki)
    return spki


def _in_file(path: Path) -> bytes | None:
    from mta.adapters.root_keys import load_root_key, spki

    if not path.exists():
        return None
    found = spki(load_root_key(path).public_key())
    root_key_bits(found)
    return found


def _asked(place: RootKeyPlace, failed: set[str]) -> bool:
    return not place.place.startswith(TOKEN) or _token(place) not in failed


def _token(place: RootKeyPlace) -> str:
    return place.place.partition("token=")[2].partition(";")[0]


def _advice(place: RootKeyPlace) -> str:
    token = place.place.startswith(TOKEN)
    return "tokens are reached by server.pkcs11: module, pin_file" if token else "docs/root-keys.md"


def root_key_rows(configuration: Configuration) -> list[Known]:
    """The root keys that the configuration names, for `mta certs list`: they have no end of their own."""
    protection = configuration.protection
    if protection is None:
        return []
    try:
        with acting_for(protection.store, configuration.server.user):
            known = known_keys(protection)
    except (StorageError, UsageError) as error:
        known, unread = {}, f"the vault cannot be read: {error}"
    else:
        unread = "the vault does not know it yet"
    return [_row(number, place, known.get(place.id), unread) for number, place in enumerate(protection.root_keys)]


def _row(number: int, place: RootKeyPlace, key: RootKey | None, unknown: str) -> Known:
    detail = f"RSA {key.bits}, {key.state.value}" if key else unknown
    digest = hashlib.sha256(key.spki).hexdigest() if key else ""
    where = f"protection.root_keys[{number}]"
    return Known("root", where, place.id, spki_sha256=digest, file=place.place, detail=f"{detail}, {place.place}")
