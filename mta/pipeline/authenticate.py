"""The authenticate step: SPF, DKIM, DMARC and ARC become facts on the message, and stand in its header.

Only mail under a connector with `authentication` (or whose author such a connector claims) is looked at; what our own
systems send out is not.
"""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import BinaryIO

from mta.contract.connectors import Connector
from mta.contract.server import Server
from mta.errors import StorageError
from mta.model.address import Mailbox
from mta.model.auth import AuthenticationFacts
from mta.model.author import FromField
from mta.model.frozen import frozen
from mta.model.message import Content, HeaderBlock
from mta.pipeline.patience import Patience
from mta.policy.concerned import true_source
from mta.ports import Clock, SenderNames, Spool
from mta.rfc.arc.check import check as check_arc
from mta.rfc.arc.verify import body_requests as arc_requests
from mta.rfc.authres.parse import spans_to_remove
from mta.rfc.authres.smime import FIELD as SMIME_VERDICT
from mta.rfc.authres.write import authentication_results
from mta.rfc.dkim.body import AuthMessage, body_hashes
from mta.rfc.dkim.check import check as check_dkim
from mta.rfc.dkim.verify import body_requests as dkim_requests
from mta.rfc.dmarc.check import check as check_dmarc
from mta.rfc.mime.header import without
from mta.rfc.mime.trace_hops import traced_hops
from mta.rfc.nullmx.check import check as check_sender
from mta.rfc.spf.check import SpfQuery
from mta.rfc.spf.check import check as check_spf
from mta.rfc.spf.received import received_spf

_PIECE = 1 << 20


@frozen
class LookUps:
    """What finding out takes: names, the time, and how we call ourselves."""

    resolver: SenderNames
    clock: Clock
    hostname: str


@frozen
class Incoming:
    """A message whose content has arrived, from a client (None: not known) that called itself `helo`."""

    client: IPv4Address | IPv6Address | None
    helo: str
    sender: Mailbox | None
    content: Content
    block: HeaderBlock
    author: FromField

    @property
    def source(self) -> tuple[IPv4Address | IPv6Address | None, str]:
        """What SPF is judged at."""
        return self.client, self.helo


async def authenticate(
    names: LookUps, connectors: Sequence[Connector], incoming: Incoming
) -> tuple[AuthenticationFacts, ...]:
    """What each of these connectors sees of a message. Raises StorageError.

    They may know different gateways in front of us, hence different sources for SPF; the rest is found out once.
    """
    if not connectors:
        return ()
    names = replace(names, resolver=Patience(names.resolver, names.clock))
    sources = [seen_by(connector, incoming) for connector in connectors]
    facts_of: dict[object, AuthenticationFacts] = {}
    for source in sources:
        if not facts_of:
            facts_of[source.source] = await authenticate_message(source, names)
        elif source.source not in facts_of:
            facts_of[source.source] = await _from_another_source(facts_of[sources[0].source], source, names)
    return tuple(facts_of[source.source] for source in sources)


def seen_by(connector: Connector, incoming: Incoming) -> Incoming:
    """The message as it came to the gateway that this connector trusts; as it came to us, where it trusts none."""
    trusted = connector.inbound.trusted_hops
    if not trusted or incoming.client is None:
        return incoming
    address, helo = true_source(trusted, incoming.client, incoming.helo, traced_hops(incoming.block))
    return replace(incoming, client=address, helo=helo)


async def _from_another_source(facts: AuthenticationFacts, source: Incoming, names: LookUps) -> AuthenticationFacts:
    spf_helo, spf_mail_from = await check_spf(_query(source, names), names.resolver, names.clock)
    dmarc = await check_dmarc(source.author, spf_mail_from, facts.dkim, names.resolver)
    judged_at = str(source.client or "")
    return replace(facts, spf_helo=spf_helo, spf_mail_from=spf_mail_from, dmarc=dmarc, source=judged_at)


async def authenticate_message(incoming: Incoming, names: LookUps) -> AuthenticationFacts:
    """Everything, look-ups side by side. Raises StorageError if the content cannot be read."""
    resolver, now = names.resolver, names.clock.now()
    with readable(incoming.content, incoming.block) as message:
        if incoming.content.path is not None:
            wanted = (*dkim_requests(message.block), *arc_requests(message.block))
            await asyncio.get_running_loop().run_in_executor(None, body_hashes, message, wanted)
        (spf_helo, spf_mail_from), dkim, arc, sender = await asyncio.gather(
            check_spf(_query(incoming, names), resolver, names.clock),
            check_dkim(message, resolver, now),
            check_arc(message, resolver, now),
            check_sender(incoming.sender, resolver),
        )
    dmarc = await check_dmarc(incoming.author, spf_mail_from, dkim, resolver)
    return AuthenticationFacts(spf_helo, spf_mail_from, dkim, dmarc, arc, sender, str(incoming.client or ""))


def _query(incoming: Incoming, names: LookUps) -> SpfQuery:
    return SpfQuery(str(incoming.client or ""), incoming.helo, incoming.sender, names.hostname, names.clock.now())


def header_fields(server: Server, facts: AuthenticationFacts, incoming: Incoming) -> bytes:
    """What is put in front of the message: Authentication-Results, and Received-SPF where it is wanted."""
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
    """The content without Authentication-Results that claim to be ours (RFC 8601 §5), and without X-MTA-SMIME.

    In memory the fields are cut out; a spooled content is written anew, into what `room` gives and keeps.
    """
    results = spans_to_remove(block, authserv_id) if block.count(b"authentication-results") else ()
    forged = [field for field in block.fields if field.name == SMIME_VERDICT or field in results]
    if not forged:
        return content
    head = b"".join(without(block, forged))
    if content.data is not None:
        return Content(len(head), head)
    spool = room()
    await spool.write(head)
    with _opened(content, len(block.raw)) as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            await spool.write(piece)
    return spool.content(head)


@contextmanager
def _opened(content: Content, begin: int) -> Iterator[BinaryIO]:
    assert content.path is not None
    try:
        with open(content.path, "rb") as file:
            file.seek(begin)
            yield file
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
