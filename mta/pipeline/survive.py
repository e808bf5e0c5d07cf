"""Whether what we do to a message breaks a signature that held when it came: told in the trace and the log.

Most of what is added stands in front and breaks nothing; but a signer may have signed that a field is not there.
"""

from __future__ import annotations

import asyncio

from mta.model.auth import AuthenticationFacts, AuthResult
from mta.model.evidence.message import authentication_in
from mta.model.message import Content, HeaderBlock, QueuedMessage
from mta.pipeline.authenticate import readable
from mta.rfc.dkim.body import body_hashes
from mta.rfc.dkim.survive import BrokenSignature, broken
from mta.rfc.dkim.verify import body_requests
from mta.rfc.mime.header import scan_header

_SMALL = 65_536  # octets: hashed in less time than a thread takes to begin
ADDED = frozenset({"authentication-results", "received", "received-spf"})  # on arrival


def broken_on_arrival(
    facts: AuthenticationFacts, original: HeaderBlock, content: Content, prefix: bytes
) -> tuple[BrokenSignature, ...]:
    """What `prefix` in front, and forged fields that were cut out of `content`, have broken."""
    passed = [outcome.result.passed for outcome in facts.dkim]
    untouched = content.beginning is original.raw
    signed = (outcome.signed_headers for outcome in facts.dkim if outcome.result.passed)
    if not any(passed) or (untouched and not any(ADDED.intersection(names) for names in signed)):
        return ()
    return broken(passed, original, _header(prefix, content))


async def broken_on_leaving(stored: QueuedMessage, leaving: QueuedMessage) -> tuple[BrokenSignature, ...]:
    """What transform has broken: nothing where the message leaves as it was stored."""
    passed = _passed(stored)
    same = leaving.content is stored.content
    if not any(passed) or (same and leaving.prefix == stored.prefix):
        return ()
    before, after = _header(stored.prefix, stored.content), _header(leaving.prefix, leaving.content)
    if same:
        return broken(passed, before, after)
    block = scan_header(leaving.content.beginning, len(leaving.content.beginning))
    with readable(leaving.content, block) as message:
        wanted = body_requests(before)
        if leaving.content.path is None and leaving.content.size <= _SMALL:
            hashes = body_hashes(message, wanted)
        else:
            hashes = await asyncio.get_running_loop().run_in_executor(None, body_hashes, message, wanted)
    return broken(passed, before, after, hashes)


def broken_signatures(message: QueuedMessage) -> list[str]:
    """What `broken_on_arrival` found, from the evidence."""
    authentication = authentication_in(message.evidence)
    return list(authentication.broken_signatures) if authentication else []


def _passed(message: QueuedMessage) -> list[bool]:
    """By the evidence of the accept, in the order of the fields."""
    authentication = authentication_in(message.evidence)
    return [outcome.result is AuthResult.PASS for outcome in authentication.facts.dkim] if authentication else []


def _header(prefix: bytes, content: Content) -> HeaderBlock:
    raw = prefix + content.beginning
    return scan_header(raw, len(raw))
