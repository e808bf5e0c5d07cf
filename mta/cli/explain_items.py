"""Protected files that a message carries, as `mta explain --message` tells of them: what the vault knows of each."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mta.app.commands import acting_for
from mta.app.vault import open_vault
from mta.cli.vault_words import granted_to, stamp
from mta.contract.configuration import Configuration
from mta.errors import MtaError, TdfError
from mta.rfc.mime.detach import Part, leaves
from mta.rfc.tdf.open import read_protected

_ZIP = b"PK\x03\x04"
_MOST = 1000  # parts that are looked at


def protected_parts(configuration: Configuration, message: bytes) -> list[dict[str, object]]:
    """Each protected file in the message, with its item where it is one of ours. Nothing is opened."""
    found = [(part, read) for part in leaves(message, _MOST) if (read := _digests(part))]
    if not found:
        return []
    known = _known(configuration, {digest for _, digests in found for digest in digests})
    return [_told(part, next((known[one] for one in digests if one in known), None)) for part, digests in found]


def _digests(part: Part) -> list[bytes]:
    """By what the vault knows the keys of a protected file; empty for any other part."""
    if not part.data.startswith(_ZIP):
        return []
    try:
        manifest = read_protected(io.BytesIO(part.data)).manifest
    except TdfError:
        return []
    return [hashlib.sha256(access.wrapped).digest() for access in manifest.keys]


def _known(configuration: Configuration, digests: set[bytes]) -> dict[bytes, dict[str, object]]:
    """Items by the digests of their wrapped keys; none where there is no vault, or it cannot be read now."""
    protection = configuration.protection
    if protection is None or not Path(protection.store, "vault.db").exists():
        return {}

    async def look() -> dict[bytes, dict[str, Any]]:
        found = {}
        async with open_vault(configuration) as vault:
            for digest in digests:
                item = await vault.store.by_wrapped(digest)
                if item is not None:
                    grants = granted_to(await vault.store.grants(item.granted_as))
                    readers = [one["reader"] for one in grants if not one.get("hidden")]
                    told = {"item": item.id, "label": item.label, "owner": item.owner, "state": item.state.value}
                    found[digest] = {**told, "expires": stamp(item.not_after), "readers": readers}
        return found

    try:
        with acting_for(protection.store, configuration.server.user):
            return asyncio.run(look())
    except MtaError:
        return {}


def _told(part: Part, item: dict[str, Any] | None) -> dict[str, Any]:
    return {"name": part.name, "ours": item is not None, **(item or {})}


def item_lines(document: dict[str, Any]) -> Iterator[str]:
    """The same in words."""
    for one in document.get("items", ()):
        if not one["ours"]:
            yield f"carries {one['name'] or 'a protected file'}: not one of this vault's items"
            continue
        ends = f", ends {one['expires']}" if one["expires"] else ""
        name = one["name"] or "a protected file"
        yield f"carries {name}: item {one['item']}, {one['state']}, label {one['label']}{ends}"
        yield f"  readers     {', '.join(one['readers'])}"
