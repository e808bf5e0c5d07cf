"""The keys of authentication: what is demanded of mail that comes in, and what signs mail that goes out."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mta.config.schema_words import DomainName, FilePath, Keys, Moment, RsaBits, Selector, optional


class ArcKeys(Keys):
    """Forwarders that are believed about what they received."""

    trusted_sealers: list[DomainName] = optional("Domains whose ARC seal stands in for what a forwarder broke.", [])


class AuthenticationKeys(Keys):
    """What SPF, DKIM, DMARC and ARC must have found of mail that comes in."""

    dkim: Literal["none", "valid", "aligned"] = optional(
        "`valid`: some signature verifies; `aligned`: one of the author's domain does.", "none"
    )
    min_rsa_bits: RsaBits = optional("Signatures of shorter RSA keys do not count for `dkim`.", 1024)
    spf: Literal["none", "pass"] = optional("`pass`: SPF of MAIL FROM must pass.", "none")
    dmarc: Literal["none", "report", "enforce", "pass"] = optional(
        "`report` only tells; `enforce` does what the author's domain asks for; `pass` demands a pass.", "report"
    )
    require: Literal["all", "any"] = optional("Whether all demands must be met, or one is enough.", "all")
    arc: ArcKeys = optional("Forwarders that are believed about what they received.", ArcKeys())
    on_failure: Literal["refuse", "quarantine", "tag"] | None = optional(
        "What becomes of mail that fails; without it `refuse`, in `default` `tag`."
    )
    null_mx: Literal["refuse", "report"] | None = optional(
        "Senders of domains that take no mail (null MX); without it `refuse`, in `default` `report`."
    )


class SealKeys(Keys):
    """What seals mail with ARC."""

    domain: DomainName = Field(description="In whose name: the domain that others list as a trusted sealer.")
    selector: Selector = Field(description="The name of the key: its record is at SELECTOR._domainkey.DOMAIN.")
    key: FilePath = Field(description="PEM file of the private key, RSA or Ed25519, without a passphrase.")


class DkimKeyKeys(Keys):
    """A key that signs mail of a domain of ours."""

    selector: Selector = Field(description="The name of the key: its record is at SELECTOR._domainkey.DOMAIN.")
    key: FilePath = Field(description="PEM file of the private key, RSA or Ed25519, without a passphrase.")
    from_: Moment | None = optional(
        "When it begins to sign, a date or a date and time (UTC); without it at once.", alias="from"
    )
    until: Moment | None = optional("When it no longer signs; without it there is no end.")
    service: Literal["email", "tlsrpt"] = optional(
        "`tlsrpt`: it signs TLS reports and nothing else; its record says so.", "email"
    )
