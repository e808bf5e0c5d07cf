"""A mail of the relay itself to one address, from nobody, so that nothing comes back for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mta.errors import UsageError
from mta.model.address import Mailbox
from mta.model.envelope import Envelope, Recipient
from mta.model.evidence.message import Written
from mta.model.message import NOTICE, Content, QueuedMessage, RecipientState
from mta.pipeline.site import Shard, Site
from mta.policy.notify import postmaster_of
from mta.policy.route import choose
from mta.rfc.mime.note import Note, compose_note
from mta.rfc.smtp.address import AddressError, parse_mailbox

LETTER = "letter"  # what the vault asks of a worker: a mail to the auditor


def letter(site: Site, to: Mailbox, subject: str, paragraphs: tuple[str, ...], evidence: Written) -> QueuedMessage:
    """Ready to be queued, for the connector of its address."""
    server, now, id_ = site.contract.configuration.server, site.clock.now(), site.ids.next()
    note = Note(id_, server.hostname, postmaster_of(server).in_ascii, to.in_ascii, now, subject, paragraphs)
    raw = compose_note(note)
    return QueuedMessage(
        id=id_,
        envelope=Envelope(None, (Recipient(to),), body="7BIT" if raw.isascii() else "8BITMIME", size=len(raw)),
        content=Content(len(raw), raw),
        prefix=b"",
        received=now,
        inbound=NOTICE,
        states=(RecipientState(0, choose(site.contract.index, to).connector.name, due=now),),
        evidence=evidence.to_json(),
    )


async def queue_letter(site: Site, shards: Sequence[Shard], request: dict[str, Any]) -> dict[str, Any]:
    """`{"command": "letter", "to", "subject", "paragraphs", "about"}`: the id of the mail, once it is durable.

    Raises UsageError for an address that is none, StorageError.
    """
    try:
        to = parse_mailbox(str(request["to"]))
        paragraphs = tuple(str(paragraph) for paragraph in request["paragraphs"])
        evidence = Written(notice=str(request["about"]), about=str(request["subject"])[:200])
        message = letter(site, to, str(request["subject"]), paragraphs, evidence)
    except (AddressError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"a letter that cannot be written: {error}") from error
    await shards[0].store.enqueue(message)
    return {"message": message.id}
