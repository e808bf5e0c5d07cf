"""Where mail for the portal goes: into the vault, as an item with notices for its readers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class Invitation:
    """A notice to be written: to which reader (as `Post.readers` has them), at which address; `id` is the message's."""

    reader: str
    address: str
    id: str


@dataclass(frozen=True, slots=True)
class Post:
    """A mail to be sealed. `readers` and `hidden` (blind copies) are as contract/readers.reader_name has them.

    `message_id` is the queue's: what was sealed of it before is found by that and the label. The rest is for the
    notices: `author` in words, `from_field` the whole From field, `date` in epoch seconds, `host` of their Message-IDs.
    """

    message_id: str
    label: str
    owner: str
    readers: tuple[str, ...]
    hidden: tuple[str, ...] = ()
    subject: str = ""
    size: int | None = None
    author: str = ""
    from_field: bytes = b""
    date: float = 0.0
    host: str = ""
    phrase: str = field(default="", repr=False)  # agreed between sender and readers
    invitations: tuple[Invitation, ...] = ()
    answers: str = ""  # the item that it answers


@dataclass(frozen=True, slots=True)
class Deposited:
    """A mail that lies in the vault: the item's id, and the notices by the id of their invitation, ready to be sent."""

    item: str
    notices: dict[str, bytes]


class MailVault(Protocol):
    """Takes mail for the portal."""

    async def deposit(self, post: Post, source: Callable[[], BinaryIO]) -> Deposited:
        """Seal what `source` opens; durable when it returns. The same post again makes no second item.

        Who was revoked gets no notice. Raises MtaError where it cannot be done now: StorageError for want of room.
        """
        ...
