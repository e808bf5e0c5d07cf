"""`mta log`: what was done with which key, and the proof that nothing of it was changed."""

from __future__ import annotations

import base64
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from mta.cli.protected import with_vault
from mta.cli.vault_words import stamp
from mta.errors import TlogError, UsageError
from mta.ports.vault import LogEntry
from mta.rfc.tlog.event import SALT
from mta.rfc.tlog.note import VerifierKey, read_key
from mta.rfc.tlog.proof import read_receipt, verify_receipt
from mta.vault import log
from mta.vault.history import told
from mta.vault.vault import Vault
from mta.vault.witness import witness_key

_PAGE = 1000


def head(config: str, json_output: bool) -> int:
    """Print the signed checkpoint. Raises TlogError where signing it would make another log."""

    async def work(vault: Vault) -> dict[str, Any]:
        note, now = await log.checkpoint(vault), await vault.store.head()
        root = base64.b64encode(now.root).decode()
        return {
            "size": now.size,
            "root": root,
            "key": str(log.log_key(vault)),
            "witness_key": str(witness_key(vault)),
            "checkpoint": note,
        }

    document = with_vault(config, work)
    print(
        json.dumps(document, indent=2)
        if json_output
        else f"{document['checkpoint']}\nkey {document['key']}\nwitness key {document['witness_key']}"
    )
    return 0


def show_list(item: str, place: tuple[int, int], config: str, json_output: bool) -> int:
    """Print events. Raises UsageError."""
    start, limit = place

    async def work(vault: Vault) -> list[dict[str, Any]]:
        if not item:
            return [told(entry) for entry in await vault.store.entries(start, limit)]
        found = await vault.store.item(item)
        if found is None:
            raise UsageError(f"there is no item {item}, or several begin so")
        return [told(entry) for entry in await vault.store.entries_of(found.id, limit)]

    events = with_vault(config, work)
    print(json.dumps(events, indent=2) if json_output else "\n".join(map(_line, events)))
    return 0


def _line(event: dict[str, Any]) -> str:
    if event.get("redacted"):
        return f"#{event['seq']}  (its story was erased)"
    line = f"#{event['seq']}  {stamp(event['time'])}  {event['op']} {event['result']}"
    for key in ("item", "kid", "call", "subject", "method", "ip", "reason"):
        line += f"  {key}={event[key]}" if key in event else ""
    return line


def verify(receipt_file: str, key: str, config: str, json_output: bool) -> int:
    """Check the whole log, or one receipt; 1 if it does not hold. Raises UsageError."""
    if receipt_file:
        return _verify_receipt(receipt_file, key, config, json_output)
    proven = with_vault(config, log.verify)
    document = {
        "ok": not proven.faults,
        "size": proven.size,
        "root": base64.b64encode(proven.root).decode(),
        "redacted": proven.redacted,
        "faults": list(proven.faults),
    }
    if json_output:
        print(json.dumps(document, indent=2))
    else:
        state = "good" if not proven.faults else "NOT GOOD"
        print(f"{state}: {proven.size} entries ({proven.redacted} redacted), root {document['root']}")
        for fault in proven.faults:
            print(f"mta: {fault}", file=sys.stderr)
    return 1 if proven.faults else 0


def _verify_receipt(file: str, key: str, config: str, json_output: bool) -> int:
    try:
        data = Path(file).read_bytes()
        believed = read_key(key) if key else with_vault(config, _own_key)
        found = read_receipt(data)
        salt, story = found.extra[:SALT], found.extra[SALT:]
        proven = verify_receipt(found, hashlib.sha256(salt + story).digest(), believed)
        event = told(LogEntry(found.index, b"", salt, story))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    except TlogError as error:
        if json_output:
            print(json.dumps({"ok": False, "reason": str(error)}, indent=2))
        print(f"mta: {file}: {error}", file=sys.stderr)
        return 1
    if json_output:
        print(json.dumps({"ok": True, "size": proven.checkpoint.size, "event": event}, indent=2))
    else:
        print(f"good: entry {found.index} of {proven.checkpoint.origin}, which had {proven.checkpoint.size}")
        print(_line(event))
    return 0


async def _own_key(vault: Vault) -> VerifierKey:
    return log.log_key(vault)


def receipt(number: int, out: str, config: str) -> int:
    """Write the receipt of an entry. Raises UsageError."""

    async def work(vault: Vault) -> bytes:
        return await log.receipt(vault, number)

    data = with_vault(config, work)
    if out == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return 0
    try:
        Path(out).write_bytes(data)
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from error
    return 0


def export(config: str) -> int:
    """Print all events, one JSON object a line, with the leaf that stands in the tree."""

    async def work(vault: Vault) -> None:
        start = 0
        while page := await vault.store.entries(start, _PAGE):
            for entry in page:
                print(json.dumps({**told(entry), "leaf": entry.leaf.hex(), "salt": entry.salt.hex()}))
            start = page[-1].number + 1

    with_vault(config, work)
    return 0
