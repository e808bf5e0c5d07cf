"""The mailbox of RFC 5321 §4.1.2 and RFC 6531 §3.3, already taken apart."""

from __future__ import annotations

from mta.model.frozen import frozen

_SMALL_LETTERS = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def ascii_lower(text: str) -> str:
    """With A to Z in lower case and nothing else changed: how names and addresses are compared.

    `str.lower` and `str.casefold` make the Kelvin sign a k and one address of `straße` and `strasse`: those are other
    people's mailboxes.
    """
    return text.lower() if text.isascii() else text.translate(_SMALL_LETTERS)


def unquoted(local: str) -> str:
    """A local part without the quotes and backslashes that are no part of the name (RFC 5321 §4.1.2)."""
    if len(local) > 1 and local.startswith('"') and local.endswith('"'):
        letters = iter(local[1:-1])
        return "".join(next(letters, "") if letter == "\\" else letter for letter in letters)
    return local


@frozen
class Mailbox:
    """One address as it travelled, and the form that is compared.

    `local` and `domain` are the peer's own spelling (a quoted local part keeps its quotes); `ascii_domain` is the
    domain in lower case A-labels (`xn--…`), or an address literal in lower case (`[192.0.2.1]`, `[ipv6:2001:db8::1]`).
    `RCPT TO:<postmaster>` (RFC 5321 §4.5.1) has an empty domain until we say whose postmaster is meant.
    """

    local: str
    domain: str
    ascii_domain: str

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}" if self.domain else self.local

    @property
    def is_ascii(self) -> bool:
        """Whether the address can travel without SMTPUTF8 as it stands."""
        return self.local.isascii() and self.domain.isascii()

    @property
    def in_ascii(self) -> str:
        """How a field of ours names it: the domain in A-labels, so that plain mail needs no SMTPUTF8 because of us.

        A local part beyond ASCII has no other form (RFC 6531 §3.2): then it is the address as it travelled.
        """
        if not self.local.isascii() or self.domain.isascii():
            return str(self)
        return f"{self.local}@{self.ascii_domain}"

    @property
    def key(self) -> str:
        """What two spellings of one mailbox share: quotes that need not be and ASCII case are ignored.

        The domain stands behind the last `@`: a quoted local part may hold others.
        """
        return f"{self.name}@{self.ascii_domain}"

    @property
    def name(self) -> str:
        """The local part in the form that is compared."""
        return ascii_lower(unquoted(self.local))
