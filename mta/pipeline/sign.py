"""The last of transform: DKIM signatures for mail of our own domains, and an ARC seal where one is wanted.

Both bear the moment of receipt, and the algorithms are deterministic, so every attempt sends the same bytes without
anything being stored for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import lru_cache

from mta.contract.dkim import DkimKey
from mta.contract.values import TOKEN
from mta.errors import MtaError
from mta.lane import Lane
from mta.model.attempt import Failure, Scope
from mta.model.message import Content, HeaderBlock, QueuedMessage
from mta.model.reply import Reply
from mta.model.word import Word
from mta.pipeline.authenticate import readable
from mta.pipeline.author import author_of
from mta.pipeline.deliver import Job
from mta.pipeline.site import Site
from mta.policy.sign import Seal, from_our_systems, seal_wanted, service_of, signing_keys
from mta.rfc.arc.seal import Sealing, seal
from mta.rfc.dkim.body import body_hashes
from mta.rfc.dkim.canonicalize import Headers
from mta.rfc.dkim.sign import BODY, Signer
from mta.rfc.dkim.sign import sign as dkim_signature
from mta.rfc.mime.header import scan_header

TOKEN_TIME = 60.0  # seconds


async def sign(site: Site, job: Job) -> Job | Failure:
    """The job with its signatures and its seal in front, or why it must wait."""
    index, message = site.contract.index, job.message
    server = site.contract.configuration.server
    wanted = seal_wanted(server, job.connector, message)
    ours = index.any_dkim_key and from_our_systems(site.contract.configuration, message.inbound)
    if not ours and wanted is None:
        return job
    block = _scan(message.content.beginning)
    author = await author_of(block, server.limits.header_addresses)
    domain, keys = "", tuple[DkimKey, ...]()
    if ours:
        domain, keys = signing_keys(index, job.connector, author, message.received, service_of(message))
    if not keys and wanted is None:
        return job
    body_hash = await _body_hash(message.content, block)

    def fields() -> bytes:
        signers = [_signer(site, domain, key) for key in keys]
        signed = b"".join(dkim_signature(Headers(block), body_hash, signer, message.received) for signer in signers)
        if wanted is None:
            return signed
        sealer = _signer(site, wanted.by.domain, wanted.by.key)
        return _sealed(message, signed, body_hash, sealer, wanted) + signed

    try:
        added = await _made(fields, (*keys, *((wanted.by.key,) if wanted else ())))
    except (MtaError, TimeoutError) as error:
        story, reply = f"the mail cannot be signed: {error}", Reply(451, "4.3.0", ("Local error",))
        return Failure(Scope.DESTINATION, Word.DKIM_KEY, story, reply, permanent=False, local=True)
    return replace(job, message=replace(message, prefix=added + message.prefix)) if added else job


async def _made(fields: Callable[[], bytes], keys: Iterable[DkimKey]) -> bytes:
    """The fields; a token's in a thread and not for ever: it may be slow, or gone."""
    if not any(key.key.startswith(TOKEN) for key in keys):
        return fields()
    try:
        return await asyncio.wait_for(asyncio.wrap_future(_token().submit(fields)), TOKEN_TIME)
    except TimeoutError as error:
        raise TimeoutError(f"the token did not answer within {TOKEN_TIME:g} s") from error


@lru_cache(1)
def _token() -> Lane:
    """Its own: a token that hangs must not take the threads that everything else needs."""
    return Lane("sign-token")


def _sealed(message: QueuedMessage, signatures: bytes, body_hash: bytes, sealer: Signer, wanted: Seal) -> bytes:
    """The fields of our ARC set: over the signatures just made, too (RFC 8617 §5.1)."""
    ours = _scan(message.prefix).values(b"authentication-results")
    if not ours:
        return b""
    headers = Headers(_scan(signatures + message.content.beginning))
    return seal(headers, body_hash, sealer, Sealing(ours[0], wanted.chain), message.received)


def _scan(raw: bytes) -> HeaderBlock:
    """The header of what was taken long ago: limits held then, and a configuration may have changed since."""
    return scan_header(raw, len(raw))


def _signer(site: Site, domain: str, key: DkimKey) -> Signer:
    signing_key = site.keys.signing_key(key.key)
    return Signer(domain, key.selector, signing_key.algorithm, signing_key.sign)


async def _body_hash(content: Content, block: HeaderBlock) -> bytes:
    with readable(content, block) as readable_message:
        if content.path is None:
            return body_hashes(readable_message, (BODY,))[BODY].digest
        hashes = await asyncio.get_running_loop().run_in_executor(None, body_hashes, readable_message, (BODY,))
        return hashes[BODY].digest
