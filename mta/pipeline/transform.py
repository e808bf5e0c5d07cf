"""The transform step, the last before delivery: DKIM signatures for mail of our own domains.

The signature bears the moment of receipt, and both algorithms are deterministic, so every attempt sends the same
bytes without anything being stored for it.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from mta.errors import MtaError
from mta.model.attempt import Failure, Scope
from mta.model.message import Content, HeaderBlock
from mta.model.reply import Reply
from mta.pipeline.authenticate import readable
from mta.pipeline.deliver import Job
from mta.pipeline.site import Site
from mta.policy.transform import signing_keys
from mta.rfc.dkim.body import body_hashes
from mta.rfc.dkim.canonicalize import Headers
from mta.rfc.dkim.sign import BODY, Signer, sign
from mta.rfc.mime.from_ import parse_from
from mta.rfc.mime.header import scan_header


async def transform(site: Site, job: Job) -> Job | Failure:
    """The job with the message as it leaves, or why it must wait."""
    if not site.contract.index.any_dkim_key:
        return job
    message = job.message
    limits = site.contract.configuration.server.limits
    block = scan_header(message.content.beginning, max(limits.header_size, len(message.content.beginning)))
    author = parse_from(block, limits.header_addresses)
    domain, keys = signing_keys(site.contract.index, job.connector, author, message.received)
    if domain is None or not keys:
        return job
    try:
        signers = [_signer(site, domain.name, key.selector, key.key) for key in keys]
    except MtaError as error:
        reason = f"dkim-key: mail of {domain.name} cannot be signed: {error}"
        return Failure(Scope.DESTINATION, Reply(451, "4.3.0", ("Local error",)), reason, permanent=False, local=True)
    body_hash = await _body_hash(message.content, block)
    headers = Headers(block)
    fields = b"".join(sign(headers, body_hash, signer, message.received) for signer in signers)
    return replace(job, message=replace(message, prefix=fields + message.prefix))


def _signer(site: Site, domain: str, selector: str, path: str) -> Signer:
    key = site.keys.signing_key(path)
    return Signer(domain, selector, key.algorithm, key.sign)


async def _body_hash(content: Content, block: HeaderBlock) -> bytes:
    with readable(content, block) as readable_message:
        if content.path is None:
            return body_hashes(readable_message, (BODY,))[BODY].digest
        found = await asyncio.get_running_loop().run_in_executor(None, body_hashes, readable_message, (BODY,))
        return found[BODY].digest
