"""The words of connectors.yaml that have a grammar of their own: names, networks, pins, durations, sizes."""

from __future__ import annotations

import base64
import binascii
import math
import re
from datetime import UTC, datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import idna

from mta.config.problems import shown
from mta.contract.values import HostPort, Network
from mta.model.address import Mailbox, ascii_lower
from mta.model.tls import Pin
from mta.rfc.idna.encode import a_labels
from mta.rfc.smtp.address import AddressError, parse_mailbox

_LABEL = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"  # underscores stand in real names, as rfc/smtp/address.py takes them
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_NUMERIC_END = re.compile(r"(.*\.)?[0-9]+")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(|B|kB|KB|MB|GB|KiB|MiB|GiB|k|K|M|G)")
_OCTETS = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9} | {
    unit: 1024**power for power, units in enumerate(("", "KiB k K", "MiB M", "GiB G")) for unit in units.split()
}
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?")
_LONGEST = 10 * 366 * 86_400.0
_LARGEST = 1 << 40


class ValueFault(ValueError):
    """A value that cannot be; pydantic hands it on with its place. `hint` says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


def text(value: object, expected: str) -> str:
    """The value if it is text. Raises ValueFault naming what was `expected`."""
    if isinstance(value, str):
        return value
    hint = "put it in quotes" if isinstance(value, bool | int | float) else ""
    raise ValueFault(f"expected {expected}, found {shown(value)}", hint)


@lru_cache(maxsize=65_536)
def _ascii_name(name: str) -> str:
    if not ("xn--" in name or _NAME.fullmatch(name)):
        name = a_labels(name)
    elif "xn--" in name:
        idna.decode(name)  # an A-label must stand for something
    if not _NAME.fullmatch(name):
        raise ValueError("letters, digits and hyphens make a name")
    return name


def domain_name(value: object) -> str:
    """A domain in lower-case A-labels (RFC 5891); one final dot is dropped. Raises ValueFault."""
    given = text(value, "a domain name")
    name = ascii_lower(given).removesuffix(".")
    if len(given) > 1000:
        raise ValueFault("a domain name has at most 253 characters")
    try:
        ascii_name = _ascii_name(name)
    except (UnicodeError, IndexError, ValueError) as error:  # idna's errors are UnicodeErrors
        hint = "write the domain alone" if re.search(r"[@/: ]", name) else ""
        raise ValueFault(f"{shown(given)} is not a domain name: {error}", hint) from error
    if len(ascii_name) > 253:
        raise ValueFault("a domain name has at most 253 characters")
    if _NUMERIC_END.fullmatch(ascii_name):
        raise ValueFault(f"expected a domain name, found {shown(given)}", "an address belongs into networks")
    return ascii_name


def selector(value: object) -> str:
    """A DKIM selector in lower case: labels of a domain name (RFC 6376 §3.1). Raises ValueFault."""
    given = text(value, "a selector like s1")
    name = ascii_lower(given)
    if len(name) > 200 or not _NAME.fullmatch(name):
        raise ValueFault(f"{shown(given)} is not a selector", "letters, digits, hyphens, with dots between")
    return name


def domain_pattern(value: object) -> str:
    """A domain, or `*.domain`: its subdomains, not itself. Raises ValueFault."""
    given = text(value, "a domain name or *.domain")
    if given.startswith("*."):
        return "*." + domain_name(given[2:])
    if "*" in given:
        raise ValueFault(f"{shown(given)} is not a domain pattern", 'only a whole first label can be *: "*.x.example"')
    return domain_name(given)


def certificate_name(value: object) -> str:
    """A name expected in a certificate: a DNS name, `*.domain` or an IP address in its shortest form."""
    given = text(value, "a host name, *.domain or an IP address")
    address = _address(given.strip("[]"))
    return str(address) if address else domain_pattern(given)


def _address(given: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(given)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def host_port(value: object, default_port: int | None, *, address_only: bool = False) -> HostPort:
    """`host:port`, `[v6]:port`; the port may be left out where there is a default. Raises ValueFault."""
    given = text(value, "host:port")
    example = f"write it like {'127.0.0.1' if address_only else 'mail.example.org'}:{default_port or 25}"
    if given.count(":") > 1 and not given.startswith("["):
        raise ValueFault(f"an IPv6 address needs brackets: {shown(given)}", "write it like [2001:db8::1]:25")
    match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]+)(?::([0-9]{1,5}))?", given)
    if not match:
        raise ValueFault(f"{shown(given)} is not host:port", example)
    port = int(match[2]) if match[2] else default_port
    if port is None:
        raise ValueFault(f"{shown(given)} has no port", example)
    if port > 65_535 or (port == 0 and default_port is not None):
        raise ValueFault(f"{port} is not a port", "ports are 1 to 65535")
    address = _address(match[1].strip("[]"))
    if address:
        return HostPort(str(address), port)
    if address_only or match[1].startswith("["):
        raise ValueFault(f"expected an IP address, found {shown(match[1])}", example)
    return HostPort(domain_name(match[1]), port)


def network(value: object) -> Network:
    """An address or network; IPv4-mapped IPv6 becomes IPv4. Raises ValueFault, also when host bits are set."""
    given = text(value, "a network like 192.0.2.0/24")
    try:
        found = ip_network(given, strict=False)
        if found.network_address != ip_network(given.partition("/")[0]).network_address:
            raise ValueFault(f"{shown(given)} has host bits set", f"the network is {found}")
    except ValueFault:
        raise
    except ValueError as error:
        raise ValueFault(f"{shown(given)} is not a network", "write it like 192.0.2.0/24 or 2001:db8::/32") from error
    if isinstance(found, IPv6Network) and found.prefixlen >= 96 and found.network_address.ipv4_mapped:
        return ip_network((found.network_address.ipv4_mapped, found.prefixlen - 96))
    return found


def pin(value: object) -> Pin:
    """`spki-sha256:BASE64` or `cert-sha256:HEX` in the form that is compared. Raises ValueFault."""
    kind, _, digest = text(value, "a pin").partition(":")
    if kind == "spki-sha256":
        try:
            octets = base64.b64decode(digest + "=" * (-len(digest) % 4), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueFault(f"the pin is not base64: {shown(digest)}", "`mta certs` and openssl show it") from error
        if len(octets) != 32:
            raise ValueFault(f"a SHA-256 digest has 32 octets, this pin has {len(octets)}", "44 characters of base64")
        return Pin(kind, base64.b64encode(octets).decode("ascii"))
    if kind == "cert-sha256":
        hexadecimal = digest.replace(":", "").lower()
        if not re.fullmatch(r"[0-9a-f]{64}", hexadecimal):
            raise ValueFault(f"a SHA-256 fingerprint has 64 hexadecimal digits: {shown(digest)}")
        return Pin(kind, hexadecimal)
    raise ValueFault(f"{shown(value)} is not a pin", "write spki-sha256:BASE64 or cert-sha256:HEX")


def duration(value: object) -> float:
    """Seconds from a number of seconds, or from `90s`, `30m`, `4h`, `5d`, `2w`. Raises ValueFault."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueFault(f"expected a duration, found {shown(value)}", "write seconds, or like 90s, 30m, 4h, 5d")
    if isinstance(value, str):
        match = _DURATION.fullmatch(value) if len(value) < 40 else None
        if not match:
            raise ValueFault(f"{shown(value)} is not a duration", "write seconds, or like 90s, 30m, 4h, 5d")
        value = float(match[1]) * _SECONDS[match[2]]
    if not math.isfinite(value) or not 0 <= value <= _LONGEST:
        raise ValueFault(f"{shown(value)} seconds are out of range", "durations go from 0 to ten years")
    return float(value)


def moment(value: object) -> float:
    """Epoch seconds of `2026-11-01` or `2026-11-01T10:00`; without an offset it is UTC. Raises ValueFault."""
    given = text(value, "a date like 2026-11-01")
    fault = ValueFault(f"{shown(given)} is not a date", "write it like 2026-11-01 or 2026-11-01T10:00Z")
    if not _MOMENT.fullmatch(given):
        raise fault
    try:
        found = datetime.fromisoformat(given)
    except ValueError as error:
        raise fault from error
    if not 2000 <= found.year <= 9998:
        raise ValueFault(f"{shown(given)} is out of range", "years go from 2000 to 9998")
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def size(value: object) -> int:
    """Octets from a number of octets, or from `50 MiB`, `10 MB`, `64 KiB`. Raises ValueFault."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueFault(f"expected a size, found {shown(value)}", "write octets, or like 50 MiB")
    if isinstance(value, str):
        match = _SIZE.fullmatch(value) if len(value) < 40 else None
        if not match:
            raise ValueFault(f"{shown(value)} is not a size", "write octets, or like 50 MiB")
        value = int(float(match[1]) * _OCTETS[match[2]])
    if not 0 <= value <= _LARGEST:
        raise ValueFault(f"{shown(value)} octets are out of range", "sizes go from 0 to 1 TiB")
    return value


def mailbox(value: object) -> Mailbox:
    """An address `local@domain` (RFC 5321 §4.1.2, RFC 6531 §3.3). Raises ValueFault."""
    given = text(value, "an address like postmaster@example.org")
    try:
        return parse_mailbox(given)
    except AddressError as error:
        hint = "write it like postmaster@example.org"
        raise ValueFault(f"{shown(given)} is not an address: {error}", hint) from error


def token_url(value: object) -> str:
    """`https://host/path`, or http to this machine alone: secrets are sent there (RFC 6749 §3.2). Raises ValueFault."""
    given = text(value, "a URL like https://login.example/oauth2/token")
    try:
        parts = urlsplit(given)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise ValueFault(f"{shown(given)} is not a URL: {error}") from error
    if parts.scheme not in ("https", "http") or not host or "@" in parts.netloc or parts.fragment or " " in given:
        raise ValueFault(
            f"{shown(given)} is not the URL of a token endpoint", "write it like https://login.example/token"
        )
    if parts.scheme == "http" and not _is_this_machine(host):
        raise ValueFault(f"secrets would be sent in clear to {shown(host)}", "write https://")
    return given


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True  # RFC 6761 §6.3
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
