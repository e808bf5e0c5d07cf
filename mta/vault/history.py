"""What the log tells: of one item, or of all."""

from __future__ import annotations

import json
from typing import Any

from mta.ports.vault_log import LogEntry
from mta.vault.vault import Vault


async def history(vault: Vault, item: str, limit: int = 1000) -> list[dict[str, Any]]:
    """The events of an item, oldest first; redacted ones are gone."""
    return [told(entry) for entry in await vault.store.entries_of(item, limit)]


def told(entry: LogEntry) -> dict[str, Any]:
    """An event as it was written, or what is left of a redacted one."""
    if not entry.story:
        return {"seq": entry.number, "redacted": True}
    event: dict[str, Any] = json.loads(entry.story)
    return event
