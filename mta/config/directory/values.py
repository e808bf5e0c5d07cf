"""The words of `directory` that have a grammar of their own: LDAP URLs and filters, hosts to fetch from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from mta.config.problems import shown
from mta.config.values import ValueFault, domain_pattern, host_port, text

_ATTRIBUTE = r"[A-Za-z][A-Za-z0-9-]*(?:;[A-Za-z0-9-]+)*"


@dataclass(frozen=True, slots=True)
class LdapPlace:
    """Where an LDAP server is, and whether it speaks TLS from the first octet."""

    secure: bool
    host: str
    port: int


def ldap_url(value: object) -> LdapPlace:
    """`ldap://host[:port]` or `ldaps://host[:port]` (RFC 4516, the part before the DN). Raises ValueFault."""
    given = text(value, "a URL like ldaps://ldap.example.org")
    match = re.fullmatch(r"(ldaps?)://([^/?#@\s]+)/?", given, re.IGNORECASE)
    if match is None:
        hint = "write base, filter and attributes as keys of their own"
        raise ValueFault(f"{shown(given)} is not ldap://host or ldaps://host", hint)
    secure = match[1].lower() == "ldaps"
    place = host_port(match[2], 636 if secure else 389)
    return LdapPlace(secure, place.host, place.port)


def ldap_filter(value: object) -> str:
    """A filter in parentheses (RFC 4515); its brackets must match. Raises ValueFault."""
    given = text(value, "a filter like (objectClass=person)")
    depth = 0
    for character in given:
        depth += (character == "(") - (character == ")")
        if depth < 0:
            break
    if depth or not given.startswith("(") or not given.endswith(")") or "=" not in given:
        raise ValueFault(f"{shown(given)} is not an LDAP filter", "write it like (objectClass=person)")
    return given


def attribute(value: str) -> bool:
    """Whether this is an attribute description (RFC 4512 §2.5), like `mail` or `userCertificate;binary`."""
    return re.fullmatch(_ATTRIBUTE, value) is not None


def fetch_host(value: object) -> str:
    """`host`, `*.domain`, an address, any of them with a port. Raises ValueFault."""
    given = text(value, "a host like crl.example.org")
    if "//" in given:
        host = urlsplit(given).netloc if given.count("//") == 1 else ""
        raise ValueFault(f"{shown(given)} is a URL, not a host", f"write {host}" if host else "write the host alone")
    if given.startswith("*."):
        name, colon, port = given[2:].partition(":")
        found = host_port(f"{name}:{port}" if colon else name, 80)
        return f"{domain_pattern('*.' + found.host)}:{found.port}" if colon else f"*.{found.host}"
    has_port = re.search(r"(\]|^[^:]*):[0-9]+$", given) is not None
    found = host_port(given, 80)
    return str(found) if has_port else found.host
