"""The authenticate step: SPF, DKIM, DMARC and ARC become facts on the message, and stand in its header.

Only mail under a connector with `authentication` (or whose author such a connector claims) is looked at; what our own
systems send out is not.
"""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from mta.config.contract import Connector
from mta.errors import StorageError
from mta.model.address import Mailbox
from mta.model.auth import AuthenticationFacts
from mta.model.author import FromField
from mta.model.message import Content, HeaderBlock
from mta.pipeline.site import Site
from mta.policy.authenticate import true_source
from mta.ports import Clock, Resolver, Spool
from mta.rfc.arc.check import check as check_arc
from mta.rfc.authres.parse import spans_to_remove
from mta.rfc.authres.write import authentication_results
from mta.rfc.dkim.body import AuthMessage, body_hashes
from mta.rfc.dkim.check import check as check_dkim
from mta.rfc.dkim.verify import body_requests
from mta.rfc.dmarc.check import check as check_dmarc
from mta.rfc.mime.trace_hops import traced_hops
from mta.rfc.spf.check import SpfQuery
from mta.rfc.spf.check import check as check_spf
from mta.rfc.spf.received import received_spf

_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message whose content has arrived, from a client (None: not known) that called itself `helo`."""

    client: IPv4Address | IPv6Address | None
    helo: str
    sender: Mailbox | None
    content: Content
    block: HeaderBlock
    author: FromField


async def authenticate(site: Site, connector: Connector, incoming: Incoming) -> AuthenticationFacts:
    """What can be found out of a message that came in under `connector`. Raises StorageError."""
    trusted = connector.inbound.trusted_hops
    if trusted and incoming.client is not None:
        address, helo = true_source(trusted, incoming.client, incoming.helo, traced_hops(incoming.block))
        incoming = replace(incoming, client=address, helo=helo)
    hostname = site.contract.configuration.server.hostname
    return await authenticate_message(incoming, site.resolver, site.clock, hostname)


async def authenticate_message(
    incoming: Incoming, resolver: Resolver, clock: Clock, hostname: str
) -> AuthenticationFacts:
    """Everything, look-ups side by side. Raises StorageError if the content cannot be read."""
    now = clock.now()
    query = SpfQuery(str(incoming.client or ""), incoming.helo, incoming.sender, hostname, now)
    with readable(incoming.content, incoming.block) as message:
        if incoming.content.path is not None:
            await asyncio.get_running_loop().run_in_executor(None, body_hashes, message, body_requests(message.block))
        (spf_helo, spf_mail_from), dkim, arc = await asyncio.gather(
            check_spf(query, resolver, clock), check_dkim(message, resolver, now), check_arc(message, resolver, now)
        )
    dmarc = await check_dmarc(incoming.author, spf_mail_from, dkim, resolver)
    return AuthenticationFacts(spf_helo, spf_mail_from, dkim, dmarc, arc)


def header_fields(site: Site, facts: AuthenticationFacts, incoming: Incoming) -> bytes:
    """What is put in front of the message: Authentication-Results, and Received-SPF where it is wanted."""
    server = site.contract.configuration.server
    fields = authentication_results(
        server.authserv_id, facts, mail_from=str(incoming.sender or ""), client=str(incoming.client or "")
    )
    if server.received_spf:
        query = SpfQuery(str(incoming.client or ""), incoming.helo, incoming.sender, server.hostname)
        fields += received_spf(query, facts.spf_mail_from)
    return fields


async def without_forgeries(
    content: Content, block: HeaderBlock, authserv_id: str, room: Callable[[], Spool]
) -> Content:
    """The content without Authentication-Results that claim to be ours (RFC 8601 §5).

    In memory the fields are cut out; a spooled content is written anew, into what `room` gives.
    """
    if not block.count(b"authentication-results"):
        return content
    forged = spans_to_remove(block, authserv_id)
    if not forged:
        return content
    kept, position = [], 0
    for field in forged:
        kept.append(block.raw[position : field.start])
        position = field.end
    head = b"".join((*kept, block.raw[position:]))
    if content.data is not None:
        return Content(len(head), head)
    spool = room()
    await spool.write(head)
    for piece in _rest(content, len(block.raw)):
        await spool.write(piece)
    return spool.content(head)


def _rest(content: Content, begin: int) -> Iterator[bytes]:
    assert content.path is not None
    try:
        with open(content.path, "rb") as file:
            file.seek(begin)
            while piece := file.read(_PIECE):
                yield piece
    except OSError as error:
        raise StorageError(f"a message cannot be read back: {content.path}: {error}") from error


@contextmanager
def readable(content: Content, block: HeaderBlock) -> Iterator[AuthMessage]:
    """The message for those who hash it: a spooled body is mapped, not copied."""
    if content.path is None:
        yield AuthMessage.in_memory(block)
        return
    with _mapped(content.path) as mapped:  # what fails in the hands of those who use it is no fault of the file
        yield AuthMessage(block, lambda: _windows(mapped, block.body_start))


def _mapped(path: str) -> mmap.mmap:
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:  # ValueError: nothing was written
        raise StorageError(f"a message cannot be read back: {path}: {error}") from error


def _windows(mapped: mmap.mmap, begin: int) -> Iterator[bytes]:
    for start in range(begin, len(mapped), _PIECE):
        yield mapped[start : start + _PIECE]
