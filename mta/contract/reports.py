"""The `server.reports` object. Durations are seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reports:
    """The `server.reports` object: what is counted for the domains that ask for reports, and what becomes of it.

    `connector` governs report mail to domains that no other claims. `receive` holds the `Mailbox.key`s of the addresses
    where reports of others arrive.
    """

    from_: str = ""
    organization: str = ""
    dmarc: bool = False
    tls: bool = False
    send: bool = False
    connector: str = "default"
    private_collectors: bool = False
    receive: frozenset[str] = frozenset()
    keep: float = 7_776_000.0  # 90 days

    @property
    def wanted(self) -> bool:
        """Whether anything is counted or kept."""
        return self.dmarc or self.tls or bool(self.receive)
