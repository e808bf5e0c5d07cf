"""The keys of daily reports: those that other domains ask of us, and those that they send us."""

from __future__ import annotations

from mta.config.schema_limits import Duration
from mta.config.schema_words import Address, Keys, Switch, Text, optional


class ReportsKeys(Keys):
    """What is counted for daily reports, and where they go. Writing the object begins the counting."""

    from_: Address | None = optional("Who reports, and may be asked about them; default: the postmaster.", alias="from")
    organization: Text | None = optional("The name we report under; default: the domain of `from`.")
    dmarc: Switch = optional("Count for DMARC aggregate reports (RFC 9990) what inbound mail was found to be.", True)
    tls: Switch = optional("Count for TLS reports (RFC 8460) what sessions with MX hosts came to.", True)
    send: Switch = optional("Send the reports to the domains that ask for them; else they are kept only.", False)
    connector: Text = optional(
        "Whose `outbound` governs report mail to those whom no partner's connector claims.", "default"
    )
    private_collectors: Switch = optional("Also deliver by HTTPS to private and loopback addresses.", False)
    receive: list[Address] = optional("Addresses of ours at which reports of others arrive: they are kept, too.", [])
    keep: Duration = optional("How long reports are kept, ours and those of others.", 7_776_000.0)
