"""The paths of MAIL FROM and RCPT TO: RFC 5321 §4.1.2, with the wider alphabet of RFC 6531 §3.3.

Strict: what another reader could take for a different mailbox is refused, not repaired. Nothing is decoded: an
encoded word in a local part is a local part that looks odd. The two liberties are underscores in domains, which the
field uses, and source routes, which are read and dropped.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from mta.model.address import Mailbox
from mta.rfc.idna.encode import a_labels

# RFC 5321 §4.5.3.1.1 names 64 octets and §4.5.3.1 prefers no limit: return paths of lists (VERP, SRS) are longer
MAX_LOCAL = 250
MAX_DOMAIN = 255  # RFC 5321 §4.5.3.1.2
MAX_PATH = 256  # RFC 5321 §4.5.3.1.3: with its brackets, at-signs and route
MAX_LABEL = 63  # RFC 1035 §2.3.4

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_UTEXT = _ATEXT + r"\x80-\U0010ffff"  # RFC 6531 §3.3: atext =/ UTF8-non-ascii
_LABEL = rf"(?!-)[A-Za-z0-9_-]{{1,{MAX_LABEL}}}(?<!-)"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_QUOTED = r'"(?:[ !#-\[\]-~\x80-\U0010ffff]|\\[ -~])*"'  # RFC 5321 §4.1.2: Quoted-string
_SITE = r"(?:\[[^\[\]<>\s]*+\]|[^\[\]<>@,:;\"\\()\s]++)"  # a domain or literal, looked at more closely afterwards

_PLAIN = re.compile(rf"<([{_ATEXT}]++(?:\.[{_ATEXT}]++)*)@({_DOMAIN})>")
_PATH = re.compile(
    rf"<(?P<route>@{_SITE}(?:,@{_SITE})*:)?"
    rf"(?P<local>[{_UTEXT}]++(?:\.[{_UTEXT}]++)*|{_QUOTED})@(?P<domain>{_SITE})>"
)
_ROUTE_SITE = re.compile(rf"@({_SITE})")
_POSTMASTER = re.compile(r"<(postmaster)>", re.IGNORECASE | re.ASCII)
_HOST = re.compile(_DOMAIN)
_ROUTED = re.compile(r"[%!@]|::")
_LITERAL = re.compile(r"\[(?:(ipv6:)([0-9a-f:.]++)|([0-9.]++))\]", re.IGNORECASE)


class AddressError(ValueError):
    """A path that cannot be used. The text is for our log: it may quote what the peer sent."""


def parse_path(text: str, *, smtputf8: bool, null_ok: bool, postmaster_ok: bool = False) -> tuple[Mailbox | None, str]:
    """The path at the beginning of `text` and what follows its `>` (parameters, with their leading space).

    None is the null path `<>`, taken only if `null_ok`. `<postmaster>` without a domain is taken if `postmaster_ok`
    (RFC 5321 §4.5.1). SMTPUTF8 stands behind the path, so a server reads the path with `smtputf8` as far as it offers
    the extension, then the parameters, then refuses a mailbox that is not `is_ascii` without it. Raises AddressError.
    """
    match = _PLAIN.match(text)
    if match is not None:
        local, domain = match.groups()
        if len(local) <= MAX_LOCAL and match.end() <= MAX_PATH and not domain[-1].isdigit():
            return Mailbox(local, domain, domain.lower()), text[match.end() :]
    return _parse_uncommon(text, smtputf8, null_ok, postmaster_ok)


def parse_mailbox(text: str) -> Mailbox:
    """A mailbox as people write it in a configuration or on a command line. Raises AddressError."""
    if text.startswith(("@", "<")) or text != text.strip():
        raise AddressError(f"expected an address like user@domain.example, saw {text!r}")
    mailbox, rest = parse_path(f"<{text}>", smtputf8=True, null_ok=False)
    if rest or mailbox is None:
        raise AddressError(f"expected one address like user@domain.example, saw {text!r}")
    return mailbox


def names_a_route(mailbox: Mailbox) -> bool:
    """Whether the local part holds the sign of a route (RFC 1123 §5.2.16 `%`, RFC 976 `!`, a domain in quotes, `::`).

    The hosts behind may read one in it and send the message on, whoever sent it.
    """
    return _ROUTED.search(mailbox.name) is not None


@lru_cache(maxsize=4096)
def ascii_domain(text: str) -> str:
    """The compared form of a domain or address literal: lower-case A-labels, or `[…]`. Raises AddressError."""
    if text.startswith("["):
        return _literal(text)
    if text.endswith("."):
        raise AddressError(f"a domain in an address has no dot at its end: {text!r}")
    name = text.lower() if text.isascii() else _a_labels(text)
    if len(name) > MAX_DOMAIN:
        raise AddressError(f"a domain holds at most {MAX_DOMAIN} octets, this one {len(name)}")
    if _HOST.fullmatch(name) is None:
        raise AddressError(f"not a domain: {text!r}")
    if name.replace(".", "").isdigit():
        raise AddressError(f"an IP address must stand in square brackets: {text!r}")
    return name


def _parse_uncommon(text: str, smtputf8: bool, null_ok: bool, postmaster_ok: bool) -> tuple[Mailbox | None, str]:
    if text.startswith("<>"):
        if not null_ok:
            raise AddressError("the null path <> cannot stand here")
        return None, text[2:]
    match = _POSTMASTER.match(text)
    if match is not None and postmaster_ok:
        return Mailbox(match[1], "", ""), text[match.end() :]
    match = _PATH.match(text)
    if match is None:
        raise AddressError(_explain(text))
    path, local, domain = match[0], match["local"], match["domain"]
    if not path.isascii():
        _check_utf8(path, smtputf8)
    if _octets(path) > MAX_PATH:
        raise AddressError(f"a path holds at most {MAX_PATH} octets, this one {_octets(path)}")
    if _octets(local) > MAX_LOCAL:
        raise AddressError(f"a local part holds at most {MAX_LOCAL} octets, this one {_octets(local)}")
    # RFC 5321 §4.1.1.3, appendix C: a source route must be accepted, should be ignored
    for site in _ROUTE_SITE.findall(match["route"] or ""):
        ascii_domain(site)
    return Mailbox(local, domain, ascii_domain(domain)), text[match.end() :]


def _octets(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _check_utf8(path: str, smtputf8: bool) -> None:
    if not smtputf8:
        raise AddressError(f"an address beyond ASCII needs SMTPUTF8: {path!r}")
    for character in path:
        if not character.isascii() and is_unprintable(character):
            raise AddressError(f"an address cannot hold U+{ord(character):04X}")


def is_unprintable(character: str) -> bool:
    """Whether a character is a control, a surrogate, a space other than U+0020, or a line or paragraph separator."""
    return character != " " and unicodedata.category(character) in ("Cc", "Cs", "Zs", "Zl", "Zp")


def _a_labels(text: str) -> str:
    try:
        return a_labels(text)
    except ValueError as problem:
        raise AddressError(str(problem)) from problem


def _literal(text: str) -> str:
    match = _LITERAL.fullmatch(text)
    if match is None:
        # RFC 5321 §4.1.3: other tags need a standard that defines them; none has been
        raise AddressError(f"not an IPv4 or IPv6 address literal: {text!r}")
    try:
        return f"[ipv6:{IPv6Address(match[2])}]" if match[1] else f"[{IPv4Address(match[3])}]"
    except AddressValueError as problem:
        raise AddressError(f"not an address literal: {text!r} ({problem})") from problem


def _explain(text: str) -> str:
    shown = repr(text[:80])
    if not text.startswith("<"):
        return f"expected a path in angle brackets, saw {shown}"
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        return f"a path cannot hold control characters: {shown}"
    if ">" not in text:
        return f"the path has no closing bracket: {shown}"
    if "@" not in text:
        return f"the path has no domain: {shown}"
    return f"not a mailbox of RFC 5321: {shown}"
