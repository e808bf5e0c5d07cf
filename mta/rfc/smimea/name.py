"""Owner names of records about a mailbox: SMIMEA (RFC 8162 §3) and CERT (RFC 4398 §3.1)."""

from __future__ import annotations

import hashlib

from mta.model.address import Mailbox, unquoted

_HASHED = 56  # hexadecimal digits: SHA2-256 cut to 28 octets


def smimea_names(mailbox: Mailbox) -> tuple[str, ...]:
    """Where the SMIMEA records of a mailbox stand; the spelling of the address first, then small letters.

    RFC 8162 §4: only the domain knows which local parts are the same; small letters are the usual other spelling.
    """
    spellings = dict.fromkeys((unquoted(mailbox.local), mailbox.name))
    return tuple(
        f"{hashlib.sha256(spelling.encode()).hexdigest()[:_HASHED]}._smimecert.{mailbox.ascii_domain}"
        for spelling in spellings
    )


def cert_name(mailbox: Mailbox) -> str:
    """Where the CERT records of a mailbox stand: as SOA writes one. Empty for a local part that is no label."""
    local = unquoted(mailbox.local)
    if not local.isascii() or not 1 <= len(local) <= 63:
        return ""
    # RFC 1035 §5.1: what is special in a label is quoted; RFC 1035 §8: dots of the local part, too
    label = "".join(c if c.isalnum() or c in "-_" else f"\\{ord(c):03d}" for c in local)
    return f"{label}.{mailbox.ascii_domain}"
