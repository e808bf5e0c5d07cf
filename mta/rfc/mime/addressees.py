"""Who is named in the header: RFC 5322 §3.6.3. Read generously: the question is whom a reader may know of already."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mta.model.address import Mailbox, ascii_lower
from mta.model.message import HeaderBlock
from mta.rfc.mime.header import unfold

# What is no address is consumed as well, so that nothing is read twice: the time is that of one pass.
_ADDRESS = re.compile(r'(?:"((?:[^"\\]|\\.)*)"?|([^\s<>(),;:"@\\\[\]]++))(?:@([^\s<>(),;:"\\]++))?')
_FIELDS = (b"to", b"cc", b"resent-to", b"resent-cc")
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)


def named_in_header(block: HeaderBlock, mailboxes: Iterable[Mailbox]) -> frozenset[Mailbox]:
    """Those of `mailboxes` that stand in To, Cc or their Resent forms; the others are blind copies."""
    named: set[str] = set()
    for name in _FIELDS:
        for value in block.values(name):
            text = unfold(value).decode("utf-8", "replace")
            for quoted, plain, domain in _ADDRESS.findall(text):
                if not domain:
                    continue
                local = _QUOTED_PAIR.sub(r"\1", quoted) if quoted else plain
                named.add(f"{ascii_lower(local)}@{ascii_lower(domain.rstrip('.'))}")
    return frozenset(mailbox for mailbox in mailboxes if not named.isdisjoint(_spellings(mailbox)))


def _spellings(mailbox: Mailbox) -> set[str]:
    return {mailbox.key, f"{mailbox.name}@{ascii_lower(mailbox.domain)}"}
