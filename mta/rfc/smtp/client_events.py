"""What an SMTP client tells whoever moves its octets."""

from __future__ import annotations

from dataclasses import dataclass

from mta.model.reply import Reply
from mta.ports import TransactionReplies


@dataclass(frozen=True, slots=True)
class Answered:
    """The reply to one of `greeting`, `ehlo`, `helo`, `starttls`, `auth`, `rset`, `quit`."""

    command: str
    reply: Reply


@dataclass(frozen=True, slots=True)
class ContentWanted:
    """354 was said, and at least one recipient was taken."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A transaction is over. `data` is None only where no recipient was taken (and for a probe)."""

    replies: TransactionReplies


ClientEvent = Answered | ContentWanted | Finished
