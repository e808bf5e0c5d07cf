"""Whom a label or a grant means: one address, a whole domain, or everybody of ours."""

from __future__ import annotations

from mta.rfc.smtp.address import AddressError, ascii_domain, parse_mailbox

INTERNAL = "internal"  # everybody with an address of our own domains


def reader_name(text: str) -> str:
    """The form in which readers are kept and compared: domain in lower-case A-labels, local part as it is written.

    An address, `@domain` (or a bare domain) for everybody there, or `internal`. Raises AddressError.
    """
    if text.lower() == INTERNAL:
        return INTERNAL
    if "@" not in text.lstrip("@") and (text.startswith("@") or "." in text):
        return f"@{ascii_domain(text.removeprefix('@'))}"
    mailbox = parse_mailbox(text)
    return f"{_unquoted(mailbox.local)}@{mailbox.ascii_domain}"


def _unquoted(local: str) -> str:
    """RFC 5321 §4.1.2: quotes around what could stand without them are no part of the name."""
    if not local.startswith('"'):
        return local
    plain = local[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    try:
        return plain if parse_mailbox(f"{plain}@a.example").local == plain else local
    except AddressError:
        return local


def is_meant(grantee: str, reader: str, ours: frozenset[str]) -> bool:
    """Whether a grant to `grantee` is for `reader`, an address; both as `reader_name` gives them."""
    domain = reader.rpartition("@")[2]
    if grantee == INTERNAL:
        return domain in ours
    return domain == grantee[1:] if grantee.startswith("@") else grantee == reader
