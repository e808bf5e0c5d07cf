"""Queued messages for tests, with as little said as possible."""

from __future__ import annotations

from typing import Any

from mta.model.address import Mailbox
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.ports import Event, RecipientFate, Settlement
from mta.rfc.idna.encode import a_labels

NOW = 1_800_000_000.0
BODY = b"From: alice@fabrikam.example\r\nSubject: hello\r\n\r\nbody\r\n"


def mailbox(text: str) -> Mailbox:
    """An address from `local@domain`."""
    local, _, domain = text.rpartition("@")
    return Mailbox(local, domain, a_labels(domain))


def queued(
    id_: str,
    *recipients: str,
    sender: str = "alice@fabrikam.example",
    body: bytes = BODY,
    **changed: Any,
) -> QueuedMessage:
    """A message due at NOW for `bob@contoso.example`, or for those given. `states` may replace the default ones."""
    to = recipients or ("bob@contoso.example",)
    fields: dict[str, Any] = {
        "content": Content(len(body), data=body),
        "prefix": b"Received: from a by b\r\n",
        "received": NOW,
        "inbound": "fabrikam",
        "states": tuple(RecipientState(i, "default", due=NOW) for i in range(len(to))),
        "evidence": {"client": "192.0.2.1", "tls": {"version": "1.3"}},
        **changed,
    }
    envelope = Envelope(mailbox(sender) if sender else None, tuple(Recipient(mailbox(a)) for a in to))
    return QueuedMessage(id_, fields.pop("envelope", envelope), **fields)


def settlement(id_: str, *fates: RecipientFate, **changed: Any) -> Settlement:
    """What settling `id_` writes; without fates, its only recipient is delivered."""
    events = (Event(NOW + 1, "delivery.attempted", {"host": "mx.example"}),)
    fields: dict[str, Any] = {"at": NOW + 1, "events": events, **changed}
    return Settlement(id_, fates=fates or (RecipientFate(0, "delivered", "250 ok"),), **fields)
