"""`mta log`: what was done with which key, and the proof that nothing of it was changed."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

from mta.cli.log_receipt import VerifyOptions, verify_receipt_file, witness_document, witness_line
from mta.cli.protected import with_vault
from mta.cli.vault_words import event_line
from mta.errors import UsageError
from mta.vault import log
from mta.vault.history import told
from mta.vault.tree import log_key
from mta.vault.vault import Vault
from mta.vault.watched import watched
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
            "key": str(log_key(vault)),
            "witness_key": str(witness_key(vault)),
            "checkpoint": note,
            "witnesses": [witness_document(one) for one in (await watched(vault))[0]],
        }

    document = with_vault(config, work)
    if json_output:
        print(json.dumps(document, indent=2))
        return 0
    print(f"{document['checkpoint']}\nkey {document['key']}\nwitness key {document['witness_key']}")
    for one in document["witnesses"]:
        print(witness_line(one))
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
    print(json.dumps(events, indent=2) if json_output else "\n".join(map(event_line, events)))
    return 0


def verify(options: VerifyOptions, json_output: bool) -> int:
    """Check the whole log, or one receipt; 1 if it does not hold. Raises UsageError."""
    if options.receipt:
        return verify_receipt_file(options, json_output)
    proven = with_vault(options.config, log.verify)
    document: dict[str, Any] = {
        "ok": not proven.faults,
        "size": proven.size,
        "root": base64.b64encode(proven.root).decode(),
        "redacted": proven.redacted,
        "faults": list(proven.faults),
        "witnesses": [witness_document(one) for one in proven.witnesses],
    }
    if json_output:
        print(json.dumps(document, indent=2))
    else:
        state = "good" if not proven.faults else "NOT GOOD"
        print(f"{state}: {proven.size} entries ({proven.redacted} redacted), root {document['root']}")
        for one in document["witnesses"]:
            print(witness_line(one))
        for fault in proven.faults:
            print(f"mta: {fault}", file=sys.stderr)
    return 1 if proven.faults else 0


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
