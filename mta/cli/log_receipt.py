"""Receipts of the log's entries and what witnesses countersigned, as `mta log verify` checks and tells them."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path

from mta.cli.protected import with_vault
from mta.cli.vault_words import event_line, stamp
from mta.errors import TlogError, UsageError
from mta.ports.vault_log import LogEntry
from mta.rfc.tlog.event import SALT
from mta.rfc.tlog.note import KeyType, VerifierKey, read_key
from mta.rfc.tlog.proof import Proven, Receipt, read_receipt, verify_receipt
from mta.vault.history import told
from mta.vault.tree import log_key
from mta.vault.vault import Vault
from mta.vault.watched import Watched


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What `mta log verify` was asked for. `witnesses`: keys of which each must have countersigned."""

    receipt: str = ""
    key: str = ""
    witnesses: tuple[str, ...] = ()
    config: str = "connectors.yaml"


@dataclass(frozen=True, slots=True)
class _Believed:
    """The log's key, the witnesses whose word counts, and which of them must have countersigned (their names)."""

    log: VerifierKey
    witnesses: dict[str, VerifierKey]
    needed: frozenset[str]


def verify_receipt_file(options: VerifyOptions, json_output: bool) -> int:
    """Check one receipt with the keys that were given, or the configuration's; 1 if it does not hold."""
    file = options.receipt
    try:
        data = Path(file).read_bytes()
        believed, receipt = _believed(options), read_receipt(data)
        salt, story = receipt.extra[:SALT], receipt.extra[SALT:]
        proven = _proven(receipt, salt + story, believed)
        event = told(LogEntry(receipt.index, b"", salt, story))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    except TlogError as error:
        if json_output:
            print(json.dumps({"ok": False, "reason": str(error)}, indent=2))
        print(f"mta: {file}: {error}", file=sys.stderr)
        return 1
    cosigned = {name: proven.witnesses.get(key) for name, key in believed.witnesses.items()}
    if json_output:
        rows = [{"name": name, "at": stamp(at) if at else None} for name, at in cosigned.items()]
        print(json.dumps({"ok": True, "size": proven.checkpoint.size, "event": event, "witnesses": rows}, indent=2))
        return 0
    print(f"good: entry {receipt.index} of {proven.checkpoint.origin}, which had {proven.checkpoint.size}")
    for name, at in cosigned.items():
        print(f"  {f'seen by {name} at {stamp(at)}' if at else f'not countersigned by {name}'}")
    print(event_line(event))
    return 0


def _proven(receipt: Receipt, content: bytes, believed: _Believed) -> Proven:
    keys = tuple(believed.witnesses.values())
    proven = verify_receipt(receipt, hashlib.sha256(content).digest(), believed.log, keys)
    missing = [name for name in sorted(believed.needed) if believed.witnesses[name] not in proven.witnesses]
    if missing:
        size = proven.checkpoint.size
        raise TlogError(f"the checkpoint of {size} entries bears no cosignature of {', '.join(missing)}")
    return proven


def _believed(options: VerifyOptions) -> _Believed:
    """Raises TlogError for what is no key."""
    given = [read_key(text) for text in options.witnesses]
    for key in given:
        if key.type is not KeyType.COSIGNATURE:
            raise TlogError(f"{key.name} is the key of a log, not of a witness")
    named = {key.name: key for key in given}
    if options.key:
        return _Believed(read_key(options.key), named, frozenset(named))
    return with_vault(options.config, lambda vault: _own(vault, named))


async def _own(vault: Vault, named: dict[str, VerifierKey]) -> _Believed:
    ours = {witness.name: witness.key for witness in vault.protection.witnesses if witness.key not in named.values()}
    return _Believed(log_key(vault), {**ours, **named}, frozenset(named))


def witness_document(witness: Watched) -> dict[str, object]:
    """A witness, in JSON. `missing`: entries that it has not countersigned."""
    return {
        "name": witness.name,
        "key": witness.key,
        "size": witness.size,
        "at": stamp(witness.at),
        "missing": witness.missing,
        "heard": stamp(witness.heard),
        "fault": witness.fault,
        "refusal": witness.refusal,
    }


def witness_line(document: dict[str, object]) -> str:
    """The same in words."""
    if document["refusal"]:
        return f"witness {document['name']} contradicts"
    line = f"witness {document['name']} has countersigned {document['size']} entries"
    line += f" at {document['at']}" if document["at"] else ""
    line += f", {document['missing']} are missing" if document["missing"] else ""
    return line + (f": {document['fault']}" if document["fault"] else "")
