"""The envelope: MAIL FROM, RCPT TO and what their parameters said (RFC 5321, 1870, 6152, 6531, 3461)."""

from __future__ import annotations

from mta.model.address import Mailbox
from mta.model.frozen import frozen


@frozen
class Recipient:
    """One RCPT TO.

    `notify` is the NOTIFY list in upper case (`("NEVER",)`, or some of SUCCESS, FAILURE, DELAY; empty: not given).
    `orcpt` is ORCPT as it travelled, still in xtext (`rfc822;bob@x.example`), or empty (RFC 3461 §4.1, §4.2).
    """

    mailbox: Mailbox
    notify: tuple[str, ...] = ()
    orcpt: str = ""

    def wants(self, event: str) -> bool:
        """Whether the sender asked for (or did not decline) a report of `FAILURE`, `DELAY` or `SUCCESS`."""
        if not self.notify:
            return event in ("FAILURE", "DELAY")  # RFC 3461 §4.1: the default without NOTIFY
        return event in self.notify


@frozen
class Envelope:
    """Who sends to whom, and how the content must be carried. A `sender` of None is the null sender `<>`."""

    sender: Mailbox | None
    recipients: tuple[Recipient, ...] = ()
    body: str = "7BIT"  # or 8BITMIME (RFC 6152)
    smtputf8: bool = False  # RFC 6531
    ret: str = ""  # FULL, HDRS or not given (RFC 3461 §4.3)
    envid: str = ""  # as it travelled, in xtext (RFC 3461 §4.4)
    size: int = 0  # octets the client announced (RFC 1870); 0: not given
    tls: str = ""  # RFC 8689: `required` (REQUIRETLS) or `optional` (`TLS-Required: No`) or neither

    @property
    def sender_text(self) -> str:
        """The reverse-path without brackets; empty for the null sender."""
        return str(self.sender) if self.sender else ""
