"""Attachments as items of their own beside their mail: opened, logged and shredded one by one.

The mail's item stays the whole message. Who may open an attachment say the mail's grants (`Item.granted_as`); hold,
shred and end of the mail are also theirs. Their ids come from the mail's, so that a retry finds the same ones.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
from dataclasses import replace

from mta.model.protected import ATTACHMENT, Item
from mta.ports.vault import ItemFilter, Part
from mta.rfc.mime.file_name import file_name
from mta.rfc.mime.shown import ShownFile, show
from mta.rfc.tdf.manifest import is_media_type
from mta.vault.seal import SealRequest, write_sealed
from mta.vault.vault import Vault

MOST = 50  # of one mail; what is beyond opens with the mail
_UNKNOWN = "application/octet-stream"


def attachment_id(mail: str, number: int) -> str:
    """The id of a mail's file, by its place among all its files (rfc/mime/shown.py)."""
    digest = hashlib.sha256(f"{mail} attachment {number}".encode()).digest()
    return base64.b32encode(digest[:16]).decode("ascii").rstrip("=").lower()


async def attachments(vault: Vault, item: Item) -> tuple[Item, ...]:
    """The items that came with this one, in the order of their ids; none for what is no mail."""
    if item.kind == ATTACHMENT:
        return ()
    return tuple(found for found, _ in await vault.store.find(ItemFilter(parent=item.id)) if found.kind == ATTACHMENT)


async def file_item(vault: Vault, mail: str, number: int) -> Item | None:
    """The item of a mail's file; None for those that opens with the mail alone."""
    found = await vault.store.item(attachment_id(mail, number))
    return found if found is not None and (found.kind, found.parent) == (ATTACHMENT, mail) else None


async def seal_attachments(vault: Vault, request: SealRequest, message: bytes, places: list[str]) -> tuple[Part, ...]:
    """Seal each file of a message whose item `request` makes; `places` gets their containers as they are made.

    Raises what `write_sealed` and the containers do.
    """
    parts = []
    for number, file in await asyncio.to_thread(attached, message):
        id = attachment_id(request.id, number)
        place, out = await asyncio.to_thread(vault.containers.create, id)
        places.append(place)
        with out:
            made = await write_sealed(vault, _request(request, id, place, file), io.BytesIO(file.data), out)
            await asyncio.to_thread(vault.containers.keep, out)
        parts.append(Part(made.item, made.share, made.event))
    return tuple(parts)


def attached(message: bytes) -> list[tuple[int, ShownFile]]:
    """The files of a message with their places; pictures that its HTML shows are part of the text."""
    shown = show(message)
    files = ((number, one) for number, one in enumerate(shown.files) if not one.is_in(shown.html))
    return list(files)[:MOST]


def _request(mail: SealRequest, id: str, place: str, file: ShownFile) -> SealRequest:
    return replace(
        mail,
        id=id,
        kind=ATTACHMENT,
        parent=mail.id,
        place=place,
        name=file_name(file.name),
        mime_type=file.media_type if is_media_type(file.media_type) else _UNKNOWN,
        size=len(file.data),
    )
