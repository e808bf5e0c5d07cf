"""Where a report goes: what a `rua` URI means to us."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from mta.model.address import Mailbox
from mta.rfc.smtp.address import AddressError, parse_mailbox
from mta.rfc.tlsrpt.parse import url_problem


@dataclass(frozen=True, slots=True)
class Target:
    """A destination: an address (`mailbox`), or a URL if that is None. `problem`: why it cannot be used."""

    uri: str
    mailbox: Mailbox | None = None
    problem: str = ""


def target_of(uri: str) -> Target:
    """What `uri` means. RFC 6068 §2: percent-encoding is undone; header fields that it would set are not."""
    scheme, _, rest = uri.partition(":")
    if scheme.lower() == "https":
        return Target(uri, problem=url_problem(uri, private=True))
    if scheme.lower() != "mailto":
        return Target(uri, problem=f"{scheme[:20]}: is not spoken here")
    address = unquote(rest.partition("?")[0])
    try:
        mailbox = parse_mailbox(address)
    except AddressError as error:
        return Target(uri, problem=str(error)[:200])
    if not mailbox.is_ascii or mailbox.ascii_domain.startswith("["):
        return Target(uri, problem="an address in ASCII with a domain name is wanted")
    return Target(uri, mailbox)
