"""The keys of `directory`: where certificates of recipients are looked up, and when they are believed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, PlainValidator, Tag, WithJsonSchema

from mta.config.problems import did_you_mean, shown
from mta.config.schema_limits import Duration
from mta.config.schema_words import (
    LIST,
    WORD,
    DomainPattern,
    FilePath,
    Keys,
    RsaBits,
    Switch,
    Text,
    optional,
)
from mta.config.values import ValueFault
from mta.config.values_directory import LdapPlace, fetch_host, ldap_filter, ldap_url

SOURCE_TYPES = ("folder", "ldap", "smimea", "cert", "harvested")
DEFAULT_ADDRESSES = ["mail", "proxyAddresses"]
DEFAULT_CERTIFICATES = ["userCertificate;binary", "userSMIMECertificate;binary"]

_LDAP_SCHEMA = {"type": "string", "pattern": "^ldaps?://", "examples": ["ldaps://ldap.example.org"]}
_HOST_SCHEMA = {"type": "string", "minLength": 1, "examples": ["crl.example.org", "*.example.org"]}
LdapUrl = Annotated[LdapPlace, PlainValidator(ldap_url), WithJsonSchema(_LDAP_SCHEMA)]
LdapFilter = Annotated[str, PlainValidator(ldap_filter), WithJsonSchema({"type": "string", "pattern": r"^\(.+\)$"})]
FetchHost = Annotated[str, PlainValidator(fetch_host), WithJsonSchema(_HOST_SCHEMA)]
Entries = Annotated[int, Field(strict=True, ge=1, le=10_000_000)]


class FolderKeys(Keys):
    """A folder of certificate files."""

    type: Literal["folder"] = optional("A folder of certificate files, watched.", ...)
    path: FilePath = optional("The folder. Files are PEM, DER or PKCS #7; folders below it are read, too.", ...)
    trust: Literal["manual", "anchored"] = optional(
        "`manual`: who writes there vouches; `anchored`: certificates must lead to an anchor.", "manual"
    )


class LdapKeys(Keys):
    """An LDAP server."""

    type: Literal["ldap"] = optional("An LDAP server.", ...)
    url: LdapUrl = optional("`ldaps://host` or `ldap://host`, with a port where it is not the usual one.", ...)
    base: Text = optional("Where the search begins, a distinguished name.", ...)
    user: Text | None = optional("The distinguished name to bind with; without it anonymous.")
    password_file: FilePath | None = optional("File whose first line is the password.")
    tls: Literal["starttls", "none"] | None = optional("For `ldap://`: `starttls` (the default) or `none`.")
    ca: FilePath | None = optional("PEM file of the CAs that may have issued the server's certificate, or `system`.")
    addresses: list[Text] = optional("Attributes that hold addresses of a person.", DEFAULT_ADDRESSES, min_length=1)
    certificates: list[Text] = optional("Attributes that hold certificates.", DEFAULT_CERTIFICATES, min_length=1)
    filter: LdapFilter | None = optional("A further condition, like (objectClass=inetOrgPerson).")
    domains: list[DomainPattern] = optional("Ask about these domains only; without it about all.", [])
    trust: Literal["manual", "anchored"] = optional(
        "`anchored`: certificates must lead to an anchor; `manual`: who writes there vouches.", "anchored"
    )
    timeout: Duration = optional("How long one search may take.", 5.0)


class SmimeaKeys(Keys):
    """SMIMEA records (RFC 8162), where DNS is secure."""

    type: Literal["smimea"] = optional("SMIMEA records in DNS, where they are secure.", ...)


class CertKeys(Keys):
    """CERT records (RFC 4398)."""

    type: Literal["cert"] = optional("CERT records in DNS.", ...)


class HarvestedKeys(Keys):
    """Certificates learned from signed mail."""

    type: Literal["harvested"] = optional("Certificates learned from signed mail that was verified.", ...)
    approve: Literal["manual", "automatic"] = optional(
        "`manual`: used once `mta directory approve` has named it; `automatic`: at once.", "manual"
    )


def _tag(value: Any) -> str:
    return f"<{value['type'] if isinstance(value, dict) else value.type}>"


def _known_type(value: Any) -> Any:
    """The entry of a source, if its type is one of ours; told at the entry."""
    if isinstance(value, Keys):
        return value
    if not isinstance(value, dict):
        raise ValueFault(f"expected an object, found {shown(value)}", "write it like {type: folder, path: ...}")
    given = value.get("type")
    if given not in SOURCE_TYPES:
        what = "this source has no type" if given is None else f"{shown(given)} is no type of source"
        near = did_you_mean(given, SOURCE_TYPES) if isinstance(given, str) else ""
        raise ValueFault(what, near or f"known types: {', '.join(SOURCE_TYPES)}")
    return value


SourceKeys = Annotated[
    Annotated[
        Annotated[FolderKeys, Tag("<folder>")]
        | Annotated[LdapKeys, Tag("<ldap>")]
        | Annotated[SmimeaKeys, Tag("<smimea>")]
        | Annotated[CertKeys, Tag("<cert>")]
        | Annotated[HarvestedKeys, Tag("<harvested>")],
        Discriminator(_tag),
    ],
    BeforeValidator(_known_type),
]

FetchChoice = Annotated[
    Annotated[Literal["public"], Tag(WORD)] | Annotated[list[FetchHost], Tag(LIST)],
    Discriminator(lambda value: LIST if isinstance(value, list) else WORD),
]


class TrustKeys(Keys):
    """When a certificate is believed."""

    anchors: FilePath | None = optional("The CAs that are believed: a file, or a folder of files.")
    intermediates: FilePath | None = optional("Further CA certificates, to complete chains with: a file or a folder.")
    revocation: Literal["soft", "hard", "off"] = optional(
        "`soft`: revoked ones are not used; `hard`: nor those of which it cannot be found out; `off`: not asked.",
        "soft",
    )
    fetch: FetchChoice = optional(
        "Hosts that revocation lists and OCSP answers are fetched from; `public`: any public address.", "public"
    )
    crls: FilePath | None = optional("Revocation lists at hand: a file, or a folder of files.")
    min_rsa_bits: RsaBits = optional("The shortest RSA key that is encrypted to.", 2048)
    require_usage: Switch = optional("Only certificates whose extended key usage names emailProtection.", False)


class CacheKeys(Keys):
    """How long answers are kept."""

    found: Duration = optional("How long found certificates are kept.", 3600.0)
    missing: Duration = optional("How long it is kept that there is none.", 300.0)
    entries: Entries = optional("Most answers kept.", 10_000)


class DirectoryKeys(Keys):
    """Where certificates of recipients are looked up."""

    sources: list[SourceKeys] = optional("Where to look, in order.", [])
    trust: TrustKeys = optional("When a certificate is believed.", TrustKeys())
    cache: CacheKeys = optional("How long answers are kept.", CacheKeys())
    timeout: Duration = optional("How long one source may take.", 10.0)
