"""Reads the ARC sets of a message: RFC 8617 §4 and the structure that §5.2 demands of a chain."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mta.model.message import HeaderBlock, HeaderField
from mta.rfc.dkim.parse import (
    Coverage,
    SignedField,
    TagError,
    needed,
    number,
    parse_coverage,
    parse_signed_field,
    parse_tags,
    show,
)

MOST = 50  # RFC 8617 §5.2: more sets than these are a failed chain
RESULTS, SIGNATURE, SEAL = b"arc-authentication-results", b"arc-message-signature", b"arc-seal"
_NAMES = frozenset((RESULTS, SIGNATURE, SEAL))
_CFWS = rb"(?:[ \t\r\n]|\([^()\\]*+\))*"
_INSTANCE = re.compile(_CFWS + rb"i" + _CFWS + rb"=" + _CFWS + rb"([0-9]{1,2})" + _CFWS + rb";")


@dataclass(frozen=True, slots=True)
class ArcSet:
    """One custodian's three fields. `verdict` is cv=; `expiration` is x= of the message signature."""

    instance: int
    results: HeaderField
    signature: SignedField
    covers: Coverage
    expiration: int | None
    seal: SignedField
    verdict: str


def collect(block: HeaderBlock) -> tuple[ArcSet, ...]:
    """The sets from the first to the newest; empty without any ARC field.

    Raises TagError with the reason why they are no chain that could be verified.
    """
    fields = [field for field in block.fields if field.name in _NAMES]
    if len(fields) > 3 * MOST:
        raise TagError(f"there are more than {MOST} ARC sets")
    places = _places(fields, block.raw)
    newest = max((instance for instance, _ in places), default=0)
    for instance in range(1, newest + 1):
        for name in (RESULTS, SIGNATURE, SEAL):
            if (instance, name) not in places:
                # RFC 8617 §5.2, step 3: exactly one of each, in a sequence without gaps
                raise TagError(f"ARC set {instance} of {newest} has no {name.decode()}")
    return tuple(_set(instance, places, block.raw) for instance in range(1, newest + 1))


def newest_instance(block: HeaderBlock) -> int:
    """The highest instance of any ARC field, also in a chain that is broken; 0 without one."""
    newest = 0
    for field in [field for field in block.fields if field.name in _NAMES][: 3 * MOST]:
        try:
            newest = max(newest, _instance(field, block.raw))
        except TagError:
            continue  # a field without an instance has no say in the number of the next
    return newest


def sealed_as_failed(block: HeaderBlock) -> bool:
    """Whether the newest seal already says cv=fail: the chain ends there (RFC 8617 §5.1, step 2)."""
    newest = newest_instance(block)
    return any(_says_failed(field, block.raw, newest) for field in block.fields if field.name == SEAL)


def _says_failed(field: HeaderField, raw: bytes, newest: int) -> bool:
    try:
        tags = parse_tags(raw[field.value_start : field.end])
        return tags.get("cv") == b"fail" and number(tags, "i", digits=2) == newest
    except TagError:
        return False  # it says nothing that counts


def _places(fields: Iterable[HeaderField], raw: bytes) -> dict[tuple[int, bytes], HeaderField]:
    places: dict[tuple[int, bytes], HeaderField] = {}
    for field in fields:
        key = _instance(field, raw), field.name
        if key in places:
            raise TagError(f"ARC set {key[0]} has two {field.name.decode()}")
        places[key] = field
    return places


def _instance(field: HeaderField, raw: bytes) -> int:
    value = raw[field.value_start : field.end]
    if field.name == RESULTS:
        match = _INSTANCE.match(value)
        instance = int(match[1]) if match else 0
    else:
        instance = number(parse_tags(value), "i", digits=2) or 0
    if not 1 <= instance <= MOST:
        raise TagError(f"{field.name.decode()} has no instance (i=) from 1 to {MOST}")
    return instance


def _set(instance: int, places: dict[tuple[int, bytes], HeaderField], raw: bytes) -> ArcSet:
    try:
        signature = places[instance, SIGNATURE]
        tags = parse_tags(raw[signature.value_start : signature.end])
        by, covers = parse_signed_field(signature, raw, tags), parse_coverage(tags)
        if SEAL in covers.headers:
            raise TagError("h= of the message signature names ARC-Seal")  # RFC 8617 §4.1.2
        seal, verdict = _seal(places[instance, SEAL], raw, instance)
        results = places[instance, RESULTS]
        return ArcSet(instance, results, by, covers, number(tags, "x"), seal, verdict)
    except TagError as error:
        raise TagError(f"ARC set {instance} cannot be used: {error}") from None


def _seal(field: HeaderField, raw: bytes, instance: int) -> tuple[SignedField, str]:
    tags = parse_tags(raw[field.value_start : field.end])
    if "h" in tags:
        raise TagError("the seal has h=, which it must not")  # RFC 8617 §4.1.3
    verdict = needed(tags, "cv")
    # RFC 8617 §5.2, step 3: the first seal says none, every later one pass
    if verdict not in (b"fail", b"none" if instance == 1 else b"pass"):
        raise TagError(f"the seal says cv={show(verdict)}")
    return parse_signed_field(field, raw, tags), verdict.decode()
