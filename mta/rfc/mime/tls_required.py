"""The header field TLS-Required (RFC 8689 §3): a sender to whom delivery matters more than TLS."""

from __future__ import annotations

from mta.model.message import HeaderBlock
from mta.rfc.mime.header import unfold


def says_no(block: HeaderBlock) -> bool:
    """Whether the message says `TLS-Required: No`. Two such fields, or another word, say nothing."""
    values = block.values(b"tls-required")
    return len(values) == 1 and unfold(values[0]).strip().lower() == b"no"
