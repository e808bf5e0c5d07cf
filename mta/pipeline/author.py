"""Who a message says it is from, without holding up others: a long From is read by a thread."""

from __future__ import annotations

import asyncio

from mta.model.author import FromField
from mta.model.message import HeaderBlock
from mta.rfc.mime.from_ import parse_from

_LONG = 4096  # octets of all From fields


async def author_of(block: HeaderBlock, limit: int) -> FromField:
    """The author; `limit` is that of `parse_from`."""
    if sum(map(len, block.values(b"from"))) <= _LONG:
        return parse_from(block, limit)
    return await asyncio.get_running_loop().run_in_executor(None, parse_from, block, limit)
