"""Reads SPF records by the grammar of RFC 7208 §12, wholly or not at all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from mta.model.auth import AuthResult
from mta.rfc.spf.macro import MacroError, MacroString, parse_domain_spec, parse_macro_string

MAX_RECORD = 16_384  # octets; RFC 7208 §3.4 wants less than 512

QUALIFIERS = {
    "+": AuthResult.PASS,
    "-": AuthResult.FAIL,
    "~": AuthResult.SOFTFAIL,
    "?": AuthResult.NEUTRAL,
}
_VERSION = re.compile(rb"v=spf1(?: |\Z)", re.IGNORECASE)
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9._\-]*)=(.*)")
_CIDR = re.compile(r"(?:/(0|[1-9][0-9]?))?(?://(0|[1-9][0-9]{0,2}))?")
_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")


class SpfSyntaxError(ValueError):
    """A record that is no record: says which term, and why."""


@dataclass(frozen=True, slots=True)
class Mechanism:
    """One directive. `domain` is the domain-spec, if any; `prefix4`/`prefix6` the CIDR lengths of `a` and `mx`.

    `network` and `mask` are the numbers of an `ip4` (`version` 4) or `ip6` (6).
    """

    result: AuthResult
    name: str
    text: str  # as written
    domain: MacroString | None = None
    prefix4: int = 32
    prefix6: int = 128
    version: int = 0
    network: int = 0
    mask: int = 0


@dataclass(frozen=True, slots=True)
class SpfRecord:
    """A record: its mechanisms in order, and the two modifiers that mean something."""

    mechanisms: tuple[Mechanism, ...]
    redirect: MacroString | None = None
    explanation: MacroString | None = None


def select_records(records: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Those of a name's TXT records that are SPF (RFC 7208 §4.5): `v=spf1`, then a space or the end."""
    return tuple(record for record in records if _VERSION.match(record))


@lru_cache(maxsize=1024)
def parse_record(record: bytes) -> SpfRecord | str:
    """The record; or, as text, why it is none (RFC 7208 §4.6: a syntax error anywhere spoils all of it)."""
    if len(record) > MAX_RECORD:
        return f"the record is longer than {MAX_RECORD} octets"
    try:
        return _parse(record.decode("ascii"))
    except UnicodeDecodeError:
        return "the record is not ASCII"  # RFC 7208 §3.1
    except (SpfSyntaxError, MacroError) as error:
        return str(error)


def parse_explanation(text: bytes) -> MacroString | None:
    """An explain-string (RFC 7208 §6.2); None if it is none."""
    try:
        return parse_macro_string(text.decode("ascii"), explanation=True)
    except (UnicodeDecodeError, MacroError):
        return None


def _parse(record: str) -> SpfRecord:
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, MacroString] = {}
    for term in record.split(" ")[1:]:
        if not term:
            continue
        modifier = _MODIFIER.fullmatch(term)
        try:
            if modifier is None:
                mechanisms.append(_mechanism(term))
            else:
                _take_modifier(modifiers, modifier[1].lower(), modifier[2])
        except (SpfSyntaxError, MacroError) as error:
            raise SpfSyntaxError(f"{_short(term)}: {error}") from None
    return SpfRecord(tuple(mechanisms), modifiers.get("redirect"), modifiers.get("exp"))


def _take_modifier(modifiers: dict[str, MacroString], name: str, value: str) -> None:
    if name not in ("redirect", "exp"):
        parse_macro_string(value)  # RFC 7208 §6: unknown ones are ignored, but they have a grammar
        return
    if name in modifiers:
        raise SpfSyntaxError(f"{name}= stands there twice")  # RFC 7208 §6
    modifiers[name] = parse_domain_spec(value)


def _mechanism(term: str) -> Mechanism:
    result = QUALIFIERS.get(term[0], AuthResult.PASS)
    body = term[1:] if term[0] in QUALIFIERS else term
    name = re.split("[:/]", body, maxsplit=1)[0].lower()
    rest = body[len(name) :]
    match name:
        case "all":
            if rest:
                raise SpfSyntaxError("`all` takes no argument")
            return Mechanism(result, name, term)
        case "include" | "exists":
            return Mechanism(result, name, term, _domain(rest, required=True))
        case "ptr":
            return Mechanism(result, name, term, _domain(rest))
        case "a" | "mx":
            return _with_lengths(Mechanism(result, name, term), rest)
        case "ip4" | "ip6":
            version, network, mask = _network(name, rest)
            return Mechanism(result, name, term, version=version, network=network, mask=mask)
    raise SpfSyntaxError("there is no such mechanism")


def _domain(rest: str, *, required: bool = False) -> MacroString | None:
    if rest.startswith(":"):
        return parse_domain_spec(rest[1:])
    if rest or required:
        raise SpfSyntaxError("a colon and a domain are expected")
    return None


def _with_lengths(mechanism: Mechanism, rest: str) -> Mechanism:
    """RFC 7208 §5.6: `[ip4-cidr-length] [/ ip6-cidr-length]` at the end."""
    tail = re.search(r"(?:/[0-9]*)?(?://[0-9]*)?\Z", rest)
    written = tail[0] if tail else ""
    lengths = _CIDR.fullmatch(written)
    if lengths is None:
        raise SpfSyntaxError(f"{written!r} is no CIDR length")
    prefix4, prefix6 = int(lengths[1] or 32), int(lengths[2] or 128)
    if prefix4 > 32 or prefix6 > 128:
        raise SpfSyntaxError(f"{written!r} is longer than an address")
    domain = _domain(rest[: len(rest) - len(written)])
    return Mechanism(mechanism.result, mechanism.name, mechanism.text, domain, prefix4, prefix6)


def _network(name: str, rest: str) -> tuple[int, int, int]:
    """Version, number and mask of `:address[/length]`."""
    if not rest.startswith(":"):
        raise SpfSyntaxError("a colon and an address are expected")
    text, slash, length = rest[1:].partition("/")
    version, bits = (4, 32) if name == "ip4" else (6, 128)
    try:
        if "%" in text:
            raise SpfSyntaxError(f"{_short(text)!r} has a zone")
        number = int(IPv4Address(text) if version == 4 else IPv6Address(text))
    except AddressValueError:
        raise SpfSyntaxError(f"{_short(text)!r} is no IPv{version} address") from None
    if slash and (not _LENGTH.fullmatch(length) or int(length) > bits):
        raise SpfSyntaxError(f"{_short(length)!r} is no CIDR length of IPv{version}")
    mask = network_mask(int(length) if slash else bits, bits)
    return version, number & mask, mask


def network_mask(length: int, bits: int) -> int:
    """The mask of a network with `length` fixed bits of `bits`."""
    return ((1 << length) - 1) << (bits - length)


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:80] + "..."
