"""Asks whether the domain of a sender takes mail at all: RFC 7505 §4.2."""

from __future__ import annotations

from mta.model.address import Mailbox
from mta.model.auth import AuthResult, SenderOutcome
from mta.ports import DnsStatus, MxRecord, SenderNames


async def check(sender: Mailbox | None, resolver: SenderNames) -> SenderOutcome:
    """FAIL where the domain of MAIL FROM publishes a null MX."""
    if sender is None:
        return SenderOutcome(AuthResult.NONE)
    domain = sender.ascii_domain
    answer = await resolver.mx(domain)
    if answer.status is DnsStatus.TEMPORARY:
        return SenderOutcome(AuthResult.TEMPERROR, domain, f"MX of {domain} cannot be looked up: {answer.detail}")
    if is_null_mx(answer.records):
        return SenderOutcome(AuthResult.FAIL, domain, f"{domain} publishes a null MX: it takes no mail, nor answers")
    return SenderOutcome(AuthResult.PASS, domain)


def is_null_mx(records: tuple[MxRecord, ...]) -> bool:
    """Whether these MX records say that the domain takes no mail (RFC 7505 §3): none of them names a host."""
    return bool(records) and not any(record.host for record in records)
