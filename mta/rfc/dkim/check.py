"""Judges every signature of a message, looking its keys up through the resolver: RFC 6376 §6."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from mta.model.auth import DkimOutcome
from mta.ports import SenderNames, TxtAnswer
from mta.rfc.dkim.body import AuthMessage, body_hashes
from mta.rfc.dkim.canonicalize import Headers
from mta.rfc.dkim.verify import MAIL, judge, signatures


async def check(
    message: AuthMessage, resolver: SenderNames, now: float, services: frozenset[str] = MAIL
) -> tuple[DkimOutcome, ...]:
    """One outcome for each of the first ten signatures, from the top. `now` is in epoch seconds.

    The body is hashed in this very call, unless `message.hashes` knows it already: for a large one the caller may run
    `body_hashes(message, verify.body_requests(block))` in a thread first.
    """
    candidates = signatures(message.block, services)
    judged = [candidate.signature for candidate in candidates if candidate.signature]
    answers = await look_up((signature.by.key_name for signature in judged), resolver)
    hashes = body_hashes(message, filter(None, (candidate.body_request for candidate in candidates)))
    headers = Headers(message.block)
    outcomes = []
    for candidate in candidates:
        request, signature = candidate.body_request, candidate.signature
        body = hashes[request] if request else None
        answer = answers[signature.by.key_name] if signature else None
        outcomes.append(judge(candidate, headers, body, answer, now))
    return tuple(outcomes)


async def look_up(names: Iterable[str], resolver: SenderNames) -> dict[str, TxtAnswer]:
    """The TXT records of the names: side by side, each once."""
    distinct = list(dict.fromkeys(names))
    if len(distinct) == 1:
        return {distinct[0]: await resolver.txt(distinct[0])}
    return dict(zip(distinct, await asyncio.gather(*map(resolver.txt, distinct)), strict=True))
