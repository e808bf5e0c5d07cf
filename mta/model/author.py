"""The authors of a message: what its From says, as far as that is beyond doubt (RFC 5322 §3.6.2)."""

from __future__ import annotations

from mta.model.address import Mailbox
from mta.model.frozen import frozen


@frozen
class FromField:
    """The From of one message.

    `count` is the number of From fields in the header; `authors` are the mailboxes of all of them, in order. `error`
    says, for our log, what was not as RFC 5322 wants it; `authors` then holds no more than was read before.
    """

    authors: tuple[Mailbox, ...] = ()
    count: int = 0
    error: str = ""

    @property
    def ambiguous(self) -> bool:
        """Whether two readers could name different authors: no decision may rest on one of them then."""
        return self.count > 1 or len(self.authors) > 1 or bool(self.error)

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains of the authors (A-labels, lower case), each once, in order."""
        return tuple(dict.fromkeys(author.ascii_domain for author in self.authors))
