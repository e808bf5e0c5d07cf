"""The log's rows: events become leaves, and the hashes of the tree grow with them (RFC 6962 §2.1, C2SP tlog-tiles).

Of the tree are kept the hash of every tile that is full, level by level, and the right edge: the roots of the perfect
subtrees of which the tree consists. A further leaf costs a handful of hashes, however long the log is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import apsw

from mta.adapters.vault_sqlite.checkpoints import newest, refusal
from mta.errors import LogRefused
from mta.model.protected import VaultEvent
from mta.observe.vault_events import Operation, Result
from mta.ports.vault_log import LogEntry, LogHead
from mta.rfc.tlog.event import SALT, entry_with_story
from mta.rfc.tlog.grow import Frontier
from mta.rfc.tlog.grow import append as grow
from mta.rfc.tlog.merkle import HASH, leaf_hash
from mta.rfc.tlog.tiles import WIDTH, Tile

_OPENS = frozenset({Operation.OPEN, Operation.REWRAP, Operation.SUPER_USER})

Random = Callable[[int], bytes]


def append(db: apsw.Connection, events: Sequence[VaultEvent], random: Random) -> int:
    """Write events at the end of the log; the number of the first. Inside a transaction."""
    tree, leaves = _log(db), []
    if any(_opens(event) for event in events) and (refused := refusal(db)):
        raise LogRefused(refused)  # by a branch of the log that nobody would believe
    for number, event in enumerate(events, tree.size):
        salt = random(SALT)
        entry, story = entry_with_story(salt, _told(event, number))
        db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?)", (number, event.item, entry, salt, story))
        leaves.append(leaf_hash(entry))
        if _opens(event):
            db.execute("UPDATE item SET opens = opens + 1 WHERE id = ?", (event.item,))
    grown, growth = grow(tree, leaves)
    for tile, added in growth.items():
        _add(db, tile, added)
    db.execute("UPDATE log SET size = ?, frontier = ?", (grown.size, b"".join(grown.peaks)))
    return tree.size


def _opens(event: VaultEvent) -> bool:
    """Whether a content key is about to leave."""
    return event.operation in _OPENS and event.result == Result.PERMITTED


def _add(db: apsw.Connection, tile: Tile, added: bytes) -> None:
    """Hashes at the end of a tile, by their number in the tile's level."""
    first = tile.index * WIDTH + tile.width - len(added) // HASH
    rows = ((tile.level, first + n, added[n * HASH : (n + 1) * HASH]) for n in range(len(added) // HASH))
    db.executemany("INSERT INTO node VALUES (?, ?, ?)", rows)


def head(db: apsw.Connection) -> LogHead:
    """The log's length and root, and the last checkpoint."""
    tree = _log(db)
    return LogHead(tree.size, tree.root(), newest(db))


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


def _told(event: VaultEvent, number: int) -> dict[str, Any]:
    """An event as it stands in the log. Its keys are of the format, so they stay; empty ones are left out."""
    actor = event.actor
    told = {
        "time": int(event.at * 1000) / 1000,
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
    return {key: value for key, value in told.items() if value != ""}


def _log(db: apsw.Connection) -> Frontier:
    row: Any = db.execute("SELECT size, frontier FROM log").fetchall()[0]
    size, peaks = row
    return Frontier(size, tuple(peaks[at : at + HASH] for at in range(0, len(peaks), HASH)))
