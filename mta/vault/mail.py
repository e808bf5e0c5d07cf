"""Seals a mail for the portal: the message as an item of its own, a grant and a link for each of its readers.

Of one queued message under one label there is one item, whatever crashes or comes twice: its origin stands beside it.
A further reader of the same message gets a grant for that item, and who had one a further link: what a link was
called nobody remembers.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import BinaryIO

from mta.contract.protection import Label
from mta.errors import MtaError, StorageError
from mta.model.protected import Actor, Credential, Grant, Item, ItemState, VaultEvent
from mta.observe.vault_events import Operation, Result
from mta.ports.mail_vault import Post
from mta.ports.vault import Change, Link, Posted
from mta.vault.attachments import seal_attachments
from mta.vault.credentials import phrase_credentials
from mta.vault.seal import SealRequest, write_sealed
from mta.vault.vault import Vault

KIND, REPLY = "mail", "reply"
MIME_TYPE = "message/rfc822"
RELAY = Actor("mta", "system")  # who protects: the sender asked for it by the rules of the configuration


@dataclass(frozen=True, slots=True)
class SealedMail:
    """An item and the ways to it: by reader, the id of a link that was made now."""

    item: Item
    links: dict[str, str]


async def protect_message(vault: Vault, post: Post, source: Callable[[], BinaryIO]) -> SealedMail:
    """Seal what `source` opens (RFC 5322 octets), or find what was sealed of this message; durable when it returns.

    Raises StorageError where there is no room, MtaError if no root key is active or the label is gone, or the item is.
    """
    label = _label(vault, post)
    origin = origin_of(post)
    found = await vault.store.of_origin(origin)
    if found is None:
        try:
            return await _seal(vault, (post, label, origin), source)
        except StorageError:
            found = await vault.store.of_origin(origin)  # another job of the same message was faster
            if found is None:
                raise
    return await _join(vault, found, post, label)


def origin_of(post: Post) -> bytes:
    """What tells the items of messages apart."""
    return hashlib.sha256(f"{post.message_id}\0{post.label}".encode()).digest()


def token_hash(link: str) -> bytes:
    """Under what a link is known."""
    return hashlib.sha256(link.encode("ascii", "replace")).digest()


def reference(item: str) -> str:
    """Four letters in the notice, by which sender and reader speak of the message."""
    digest = hashlib.sha256(f"reference {item}".encode()).digest()
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # without I and O, which look like digits
    return "".join(letters[octet % len(letters)] for octet in digest[:4])


def _label(vault: Vault, post: Post) -> Label:
    label = vault.protection.labels.get(post.label)
    if label is None:
        raise MtaError(f"there is no label {post.label} any more")
    return label


async def _seal(vault: Vault, what: tuple[Post, Label, bytes], source: Callable[[], BinaryIO]) -> SealedMail:
    post, label, origin = what
    places: list[str] = []
    try:
        message = await asyncio.to_thread(_whole, source)
        id = vault.new_id()
        place, out = await asyncio.to_thread(vault.containers.create, id)
        places.append(place)
        request = _request(post, label, id, place)
        with out:
            made = await write_sealed(vault, request, io.BytesIO(message), out)
            await asyncio.to_thread(vault.containers.keep, out)
        parts = await seal_attachments(vault, replace(request, not_after=made.item.not_after), message, places)
        links, ways = new_links(vault, made.grants)
        phrases = await _phrases(vault, post, made.grants)
        await vault.store.seal(made.item, made.share, made.grants, made.event, Posted(links, origin, parts, phrases))
    except BaseException as error:
        for place in places:
            with contextlib.suppress(StorageError):
                vault.containers.remove(place)
        if isinstance(error, OSError):
            raise StorageError(f"the vault: {error.strerror or error}") from error
        raise
    return SealedMail(made.item, _of(post, ways))


def _whole(source: Callable[[], BinaryIO]) -> bytes:
    with source() as content:
        return content.read()


def _request(post: Post, label: Label, id: str, place: str) -> SealRequest:
    return SealRequest(
        label=label,
        owner=post.owner,
        readers=_others(post.readers, post.owner),
        hidden=_others(post.hidden, post.owner),
        actor=RELAY,
        name=post.subject,
        mime_type=MIME_TYPE,
        kind=REPLY if post.answers else KIND,
        parent=post.answers,
        size=post.size,
        place=place,
        id=id,
    )


async def _join(vault: Vault, item: Item, post: Post, label: Label) -> SealedMail:
    """Grants for readers that have none yet, and new links for all."""
    if item.state not in (ItemState.LIVE, ItemState.HELD):
        raise MtaError(f"{item.id}, made of this message before, is {item.state}")
    now, before = vault.clock.now(), await vault.store.grants(item.id)
    known = {one.reader for one in before}
    wanted = [(reader, reader in post.hidden) for reader in (*post.readers, *post.hidden) if reader not in known]
    fresh = tuple(
        Grant(_grant_id(item, reader), item.id, reader, label.rights, RELAY.subject, now, hidden=hidden)
        for reader, hidden in wanted
    )
    meant = {*post.readers, *post.hidden}
    links, ways = new_links(vault, (*(one for one in before if one.reader in meant and not one.revoked_at), *fresh))
    events = tuple(
        VaultEvent(
            now,
            Operation.GRANT,
            RELAY,
            Result.DONE,
            item=item.id,
            grant=one.id,
            key=item.key,
            detail={"reader": one.reader, "rights": " ".join(sorted(one.rights))},
        )
        for one in fresh
    )
    phrases = await _phrases(vault, post, fresh)
    await vault.store.change(Change(events, grants=fresh, links=links, credentials=phrases))
    return SealedMail(item, _of(post, ways))


async def _phrases(vault: Vault, post: Post, grants: tuple[Grant, ...]) -> tuple[Credential, ...]:
    """The phrase that the sender has agreed on with these readers."""
    readers = [one for one in grants if one.reader != post.owner]
    return await asyncio.to_thread(phrase_credentials, vault, post.phrase, readers)


def _grant_id(item: Item, reader: str) -> str:
    """The same for two who add the same reader at once."""
    digest = hashlib.sha256(f"{item.id} {reader}".encode()).digest()
    return base64.b32encode(digest[:16]).decode("ascii").rstrip("=").lower()


def new_links(vault: Vault, grants: Iterable[Grant]) -> tuple[tuple[Link, ...], dict[str, str]]:
    """A link for each grant, as it is stored, and its id by reader."""
    now, links, ways = vault.clock.now(), [], {}
    for grant in grants:
        ways[grant.reader] = vault.new_id()
        links.append(Link(token_hash(ways[grant.reader]), grant.id, grant.item, now))
    return tuple(links), ways


def _others(readers: tuple[str, ...], owner: str) -> tuple[str, ...]:
    """Each once; the owner has a grant of their own, for everything."""
    return tuple(dict.fromkeys(reader for reader in readers if reader != owner))


def _of(post: Post, ways: dict[str, str]) -> dict[str, str]:
    return {reader: ways[reader] for reader in (*post.readers, *post.hidden) if reader in ways}
