"""The log's rows: events become leaves, and the hashes of the tree grow with them (RFC 6962 §2.1, C2SP tlog-tiles).

Of the tree are kept the hash of every tile that is full, level by level, and the right edge: the roots of the perfect
subtrees of which the tree consists. A further leaf costs a handful of hashes, however long the log is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import apsw

from mta.errors import StorageError
from mta.model.protected import VaultEvent
from mta.observe.vault_events import Operation, Result
from mta.ports.vault import LogEntry, LogHead

_SALT = 32
_HASH = 32
_TILE_BITS = 8  # a tile holds 256 hashes
_OPENS = frozenset({Operation.OPEN, Operation.REWRAP})

Random = Callable[[int], bytes]


def append(db: apsw.Connection, events: Sequence[VaultEvent], random: Random) -> int:
    """Write events at the end of the log; the number of the first. Inside a transaction."""
    size, edge = _log(db)
    first = size
    for event in events:
        salt, story = random(_SALT), _story(event, size)
        leaf = hashlib.sha256(salt + story).digest()
        db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?)", (size, event.item, leaf, salt, story))
        _grow(db, edge, size, _leaf_hash(leaf))
        size += 1
        if event.operation in _OPENS and event.result == Result.PERMITTED:
            db.execute("UPDATE item SET opens = opens + 1 WHERE id = ?", (event.item,))
    db.execute("UPDATE log SET size = ?, frontier = ?", (size, b"".join(edge)))
    return first


def head(db: apsw.Connection) -> LogHead:
    """The log's length and root, and the last checkpoint."""
    size, edge = _log(db)
    note = db.execute("SELECT note FROM checkpoint ORDER BY size DESC LIMIT 1").get
    return LogHead(size, _root(edge), note or "")


def put_checkpoint(db: apsw.Connection, size: int, note: str) -> None:
    """Keep a signed checkpoint; one of the same size is replaced, as cosignatures come."""
    newest = db.execute("SELECT max(size) FROM checkpoint").get
    if newest is not None and size < newest:
        raise StorageError(f"a checkpoint of size {newest} was signed already; one of {size} would be another log")
    db.execute("INSERT OR REPLACE INTO checkpoint VALUES (?, ?)", (size, note))


def entries(db: apsw.Connection, start: int, limit: int) -> list[LogEntry]:
    """The log from number `start`."""
    sql = "SELECT number, leaf, salt, story FROM event WHERE number >= ? ORDER BY number LIMIT ?"
    return [LogEntry(*row) for row in db.execute(sql, (start, limit))]


def entries_of(db: apsw.Connection, item: str, limit: int) -> list[LogEntry]:
    """The first entries of an item."""
    sql = "SELECT number, leaf, salt, story FROM event WHERE item = ? ORDER BY number LIMIT ?"
    return [LogEntry(*row) for row in db.execute(sql, (item, limit))]


def hashes(db: apsw.Connection, level: int, start: int, count: int) -> list[bytes]:
    """Hashes of a level of the tiles, from number `start`."""
    sql = "SELECT hash FROM node WHERE level = ? AND n >= ? ORDER BY n LIMIT ?"
    return [row[0] for row in db.execute(sql, (level, start, count))]


def redact(db: apsw.Connection, number: int) -> None:
    """Erase what an entry tells; secure_delete has it overwritten."""
    db.execute("UPDATE event SET salt = x'', story = x'', item = '' WHERE number = ?", (number,))


def _story(event: VaultEvent, number: int) -> bytes:
    """The canonical JSON of an event. Keys of the format, so they stay; empty ones are left out."""
    actor = event.actor
    told = {
        "time": round(event.at, 3),
        "seq": number,
        "op": event.operation,
        "result": event.result,
        "reason": event.reason,
        "item": event.item,
        "grant": event.grant,
        "kid": event.key,
        "call": event.call,
        "subject": actor.subject,
        "method": actor.method,
        "ip": actor.ip,
        "ua": actor.agent,
        **event.detail,
    }
    kept = {key: value for key, value in told.items() if value != ""}
    return json.dumps(kept, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _log(db: apsw.Connection) -> tuple[int, list[bytes]]:
    row: Any = db.execute("SELECT size, frontier FROM log").fetchall()[0]
    size, frontier = row
    return size, [frontier[at : at + _HASH] for at in range(0, len(frontier), _HASH)]


def _grow(db: apsw.Connection, edge: list[bytes], size: int, leaf: bytes) -> None:
    """One more leaf: as in a binary counter, equal neighbours become one, and each full tile is written down."""
    db.execute("INSERT INTO node VALUES (0, ?, ?)", (size, leaf))
    edge.append(leaf)
    height = 0
    while size >> height & 1:
        right, left = edge.pop(), edge.pop()
        edge.append(_node_hash(left, right))
        height += 1
        if height % _TILE_BITS == 0:
            level = height // _TILE_BITS
            db.execute("INSERT INTO node VALUES (?, ?, ?)", (level, size >> height, edge[-1]))


def _root(edge: list[bytes]) -> bytes:
    """RFC 6962 §2.1: the subtrees on the right edge are joined from the smallest on; no leaves: SHA-256 of nothing."""
    if not edge:
        return hashlib.sha256(b"").digest()
    root = edge[-1]
    for left in reversed(edge[:-1]):
        root = _node_hash(left, root)
    return root


def _leaf_hash(data: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + data).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
