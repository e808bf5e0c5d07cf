"""A message from a file or from standard input, as it would have come by SMTP."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from mta.contract.limits import Limits
from mta.model.address import Mailbox
from mta.model.message import Content
from mta.pipeline.authenticate import Incoming
from mta.rfc.mime.from_ import parse_from
from mta.rfc.mime.header import scan_header


def incoming(
    raw: bytes, client: IPv4Address | IPv6Address | None, helo: str, sender: Mailbox | None, limits: Limits
) -> Incoming:
    """The message from this client. Raises HeaderError if its header is larger than `limits` permit."""
    raw = _lines_in_crlf(raw)
    block = scan_header(raw, limits.header_size)
    author = parse_from(block, limits.header_addresses)
    return Incoming(client, helo, sender, Content(len(raw), raw), block, author)


def _lines_in_crlf(raw: bytes) -> bytes:
    """Files on a disk often end their lines in LF alone; on the wire they were CRLF."""
    return raw if b"\r\n" in raw else raw.replace(b"\n", b"\r\n")
