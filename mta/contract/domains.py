"""The `domains` object: what we take mail for, and where it goes."""

from __future__ import annotations

from dataclasses import dataclass

from mta.contract.dkim import DkimKey
from mta.contract.smime import OwnSmime
from mta.contract.values import HostPort

ANY_RECIPIENT, VERIFY_RECIPIENT = "any", "verify"


@dataclass(frozen=True, slots=True)
class Domain:
    """One of our own domains. `recipients` is `any`, `verify`, or the set of `Mailbox.key`s that exist."""

    name: str
    deliver_to: tuple[HostPort, ...]
    connector: str
    recipients: str | frozenset[str] = ANY_RECIPIENT
    allow_own_sender: bool = False
    dkim: tuple[DkimKey, ...] = ()
    smime: OwnSmime | None = None
