"""Items, grants and root keys as rows of vault.db."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple
from typing import Any

import apsw

from mta.model.protected import (
    ATTACHMENT,
    Credential,
    Epoch,
    Grant,
    Item,
    ItemState,
    KeyState,
    RootKey,
    SuperUser,
)
from mta.model.rights import Right
from mta.ports.vault import ItemFilter, Link

_ITEM = (
    "id, wrapped, policy, uuid, kind, label, owner, name, root_key, created, not_after, state, revocation, size,"
    " parent, place, signed_policy"
)
_GRANT = "id, item, reader, rights, granted_by, granted_at, not_after, revoked_at, hidden"
_SOME = 500  # rows at a time
_KEY = "id, place, spki, bits, state, created, changed, destroy_after, asked_by"
_LEAVE = "id, asked_by, reason, asked_at, lasts, approved_by, begins, ends, ended_by, ended_at"


def add_item(db: apsw.Connection, item: Item) -> None:
    """A new item; one with the same wrapped key is a constraint error."""
    values = (
        *(item.id, item.wrapped_digest, item.policy_digest, item.uuid, item.kind, item.label, item.owner, item.name),
        *(item.key, item.created, item.not_after, item.state.value, item.revocation, item.size, item.parent),
        *(item.place, item.signed_policy),
    )
    db.execute(f"INSERT INTO item ({_ITEM}) VALUES ({_marks(values)})", values)  # noqa: S608 - names of our own


def put_grant(db: apsw.Connection, grant: Grant) -> None:
    """Add a grant, or replace the one of its id."""
    rights = " ".join(sorted(grant.rights))
    values = (
        *(grant.id, grant.item, grant.reader, rights, grant.granted_by, grant.granted_at, grant.not_after),
        *(grant.revoked_at, int(grant.hidden)),
    )
    db.execute(f"INSERT OR REPLACE INTO item_grant ({_GRANT}) VALUES ({_marks(values)})", values)  # noqa: S608


def put_links(db: apsw.Connection, links: tuple[Link, ...]) -> None:
    """Add ways to grants that are there."""
    rows = ((one.token_hash, one.grant, one.item, one.created) for one in links)
    db.executemany("INSERT INTO link (token_hash, grant_id, item, created) VALUES (?, ?, ?, ?)", rows)


def link(db: apsw.Connection, token_hash: bytes) -> Link | None:
    """The way whose id has this SHA-256."""
    sql = "SELECT token_hash, grant_id, item, created FROM link WHERE token_hash = ?"
    return next((Link(*row) for row in db.execute(sql, (token_hash,))), None)


def put_key(db: apsw.Connection, key: RootKey) -> None:
    """Add a root key, or replace the one of its id."""
    values = (
        *(key.id, key.place, key.spki, key.bits, key.state.value, key.created, key.changed, key.destroy_after),
        key.asked_by,
    )
    db.execute(f"INSERT OR REPLACE INTO root_key ({_KEY}) VALUES ({_marks(values)})", values)  # noqa: S608


def put_epoch(db: apsw.Connection, epoch: Epoch) -> None:
    """Add an epoch, or replace the one of its number."""
    db.execute("INSERT OR REPLACE INTO epoch (number, begun, replaced, ended) VALUES (?, ?, ?, ?)", astuple(epoch))


def epochs(db: apsw.Connection) -> tuple[Epoch, ...]:
    """All epochs, the oldest first."""
    rows: Any = db.execute("SELECT number, begun, replaced, ended FROM epoch ORDER BY number")
    return tuple(Epoch(*row) for row in rows)


def put_super_user(db: apsw.Connection, leave: SuperUser) -> None:
    """Add a leave, or replace the one of its id."""
    values = astuple(leave)
    db.execute(f"INSERT OR REPLACE INTO super_user ({_LEAVE}) VALUES ({_marks(values)})", values)  # noqa: S608


def super_users(db: apsw.Connection) -> tuple[SuperUser, ...]:
    """All leaves, the newest first."""
    rows: Any = db.execute(f"SELECT {_LEAVE} FROM super_user ORDER BY asked_at DESC, id")  # noqa: S608
    return tuple(SuperUser(*row) for row in rows)


def put_credentials(db: apsw.Connection, credentials: tuple[Credential, ...]) -> None:
    """Add credentials, or replace those of the same ids."""
    sql = "INSERT OR REPLACE INTO credential (id, subject, kind, data, created, used) VALUES (?, ?, ?, ?, ?, ?)"
    db.executemany(sql, map(astuple, credentials))


def forget_credentials(db: apsw.Connection, ids: tuple[str, ...]) -> None:
    """End credentials."""
    db.executemany("DELETE FROM credential WHERE id = ?", ((id,) for id in ids))


def credentials_of(db: apsw.Connection, subject: str) -> tuple[Credential, ...]:
    """The credentials of one reader, the oldest first."""
    sql = "SELECT id, subject, kind, data, created, used FROM credential WHERE subject = ? ORDER BY created, id"
    rows: Any = db.execute(sql, (subject,))
    return tuple(Credential(*row) for row in rows)


def use_credential(db: apsw.Connection, before: Credential, after: Credential) -> bool:
    """Replace one that is still as it was."""
    sql = "UPDATE credential SET data = ?, used = ? WHERE id = ? AND data = ? AND used = ?"
    db.execute(sql, (after.data, after.used, before.id, before.data, before.used))
    return db.changes() == 1


def _marks(values: tuple[object, ...]) -> str:
    return ", ".join("?" * len(values))


def item_where(db: apsw.Connection, where: str, *values: Any) -> Item | None:
    """The only item for which this holds; None for none or several."""
    rows = db.execute(f"SELECT {_ITEM} FROM item WHERE {where} LIMIT 2", values).fetchall()  # noqa: S608
    return _item(rows[0]) if len(rows) == 1 else None


def asked_for(db: apsw.Connection, digest: bytes) -> tuple[Item, tuple[Grant, ...], RootKey | None] | None:
    """An item by its wrapped key, with its grants and its root key, of one moment."""
    found = None
    with db:
        item = item_where(db, "wrapped = ?", digest)
        if item is not None:
            keys = db.execute(f"SELECT {_KEY} FROM root_key WHERE id = ?", (item.key,)).fetchall()  # noqa: S608
            found = (item, grants_of(db, item.granted_as), _key(keys[0]) if keys else None)
    return found


def item_by_prefix(db: apsw.Connection, prefix: str) -> Item | None:
    """The only item whose id begins so."""
    return item_where(db, "id >= ? AND id < ?", prefix, prefix + "\x7f") if prefix else None


def items_due(db: apsw.Connection, now: float, sealed_before: float, limit: int) -> list[Item]:
    """Live items whose time is over, or that were sealed before then."""
    ended = f"SELECT {_ITEM} FROM item WHERE state = 'live' AND not_after > 0 AND not_after <= ?"  # noqa: S608
    sql, values = f"{ended} ORDER BY not_after LIMIT ?", [now, limit]
    if sealed_before:
        old = f"SELECT {_ITEM} FROM item WHERE state = 'live' AND created < ?"  # noqa: S608
        sql, values = f"{ended} UNION {old} ORDER BY 10 LIMIT ?", [now, sealed_before, limit]
    return [_item(row) for row in db.execute(sql, values)]


def places(db: apsw.Connection) -> frozenset[str]:
    """Where the containers of items lie that are not at their end."""
    rows: Any = db.execute("SELECT place FROM item WHERE place <> '' AND state IN ('live', 'held')")
    return frozenset(place for (place,) in rows)


def items_found(db: apsw.Connection, which: ItemFilter) -> list[tuple[Item, int]]:
    """The items a filter means, with how often each was opened."""
    conditions, values = ["id > ?"], [which.after]
    for condition, value in _conditions(which):
        conditions.append(condition)
        values += value
    order = "created DESC, id" if which.newest_before else "id"
    sql = f"SELECT {_ITEM}, opens FROM item WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ?"  # noqa: S608
    return [(_item(row[:-1]), row[-1]) for row in db.execute(sql, (*values, which.limit))]


def _conditions(which: ItemFilter) -> Iterator[tuple[str, list[Any]]]:
    if which.id:
        yield "id >= ? AND id < ?", [which.id, which.id + "\x7f"]
    elif not which.parent:
        yield "kind <> ?", [ATTACHMENT]
    for column in ("owner", "label", "state", "parent"):
        if getattr(which, column):
            yield f"{column} = ?", [getattr(which, column)]
    if which.newest_before:
        yield "created < ?", [which.newest_before]
    if which.reader:
        yield "id IN (SELECT item FROM item_grant WHERE reader = ? AND revoked_at = 0)", [which.reader]


def grants_of(db: apsw.Connection, item: str) -> tuple[Grant, ...]:
    """All grants of an item in the order of their ids."""
    sql = f"SELECT {_GRANT} FROM item_grant WHERE item = ? ORDER BY granted_at, id"  # noqa: S608
    return tuple(_grant(row) for row in db.execute(sql, (item,)))


def root_keys(db: apsw.Connection) -> tuple[RootKey, ...]:
    """All root keys, the oldest first."""
    rows = db.execute(f"SELECT {_KEY} FROM root_key ORDER BY created, id")  # noqa: S608
    return tuple(_key(row) for row in rows)


def shares_left_over(pair: tuple[apsw.Connection, apsw.Connection], before: float) -> list[bytes]:
    """The next shares of items at their end, and those from before `before` whose item never came."""
    shares, vault = pair
    left: list[bytes] = []
    rows: Any = shares.execute("SELECT wrapped, added FROM share")
    for digest, added in rows:
        state = vault.execute("SELECT state FROM item WHERE wrapped = ?", (digest,)).get
        if state not in (None, "live", "held") or (state is None and added < before):
            left.append(digest)
        if len(left) == _SOME:
            break
    return left


def shares_after(place: bytes, pair: tuple[apsw.Connection, apsw.Connection]) -> list[tuple[bytes, bytes]]:
    """The next shares behind a digest, with what covers them."""
    sql = "SELECT wrapped, covered FROM share WHERE wrapped > ? ORDER BY wrapped LIMIT ?"
    rows: Any = pair[0].execute(sql, (place, _SOME))
    return list(rows)


def cover_anew(
    found: list[tuple[bytes, bytes]], renew: Callable[[bytes], bytes | None], shares: apsw.Connection
) -> None:
    """Replace what covers these shares, where it is still what it was."""
    for digest, covered in found:
        fresh = renew(covered)
        if fresh is not None:
            sql = "UPDATE share SET covered = ? WHERE wrapped = ? AND covered = ?"
            shares.execute(sql, (fresh, digest, covered))


def _key(row: Any) -> RootKey:
    values = [*row[:4], KeyState(row[4]), *row[5:]]
    return RootKey(*values)


def _item(row: Any) -> Item:
    values = [*row[:11], ItemState(row[11]), *row[12:]]
    return Item(*values)


def _grant(row: Any) -> Grant:
    rights = frozenset(Right(name) for name in row[3].split())
    values = [*row[:3], rights, *row[4:8], bool(row[8])]
    return Grant(*values)
