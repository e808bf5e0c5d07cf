"""What SPF, DKIM, DMARC and ARC must have found of mail that comes in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Authentication:
    """What SPF, DKIM, DMARC and ARC must have found of mail coming in.

    `dkim` is none, valid or aligned; `spf` none or pass; `dmarc` none, report, enforce or pass; `require` says whether
    all demands hold or any one; `on_failure` is refuse, quarantine (held) or tag. A pass of an ARC chain sealed by one
    of `trusted_sealers` stands in for what a forwarder broke. `null_mx` (refuse or report) concerns senders of domains
    that take no mail, whatever else is demanded. Not `checked`: nothing is looked up.
    """

    checked: bool = False
    dkim: str = "none"
    min_rsa_bits: int = 1024
    spf: str = "none"
    dmarc: str = "report"
    require: str = "all"
    trusted_sealers: tuple[str, ...] = ()
    on_failure: str = "tag"
    null_mx: str = "report"

    @property
    def demands(self) -> bool:
        """Whether anything can fail."""
        return self.dkim != "none" or self.spf != "none" or self.dmarc in ("enforce", "pass")
