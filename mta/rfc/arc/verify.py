"""Judges a chain of custody: RFC 8617 §5.2. Pure: keys and time are handed in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mta.model.auth import ArcOutcome, AuthResult
from mta.model.message import HeaderBlock
from mta.ports import TxtAnswer
from mta.rfc.arc.parse import ArcSet, collect
from mta.rfc.dkim.body import BodyHash, BodyRequest
from mta.rfc.dkim.canonicalize import Canonicalization, Headers
from mta.rfc.dkim.parse import SignedField, TagError
from mta.rfc.dkim.verify import Fault, altered, key_of, proves, request_of, uncovered

RELAXED = Canonicalization.RELAXED


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that judging takes: what DNS said about the keys, by their names, the body's hashes, and the time."""

    answers: Mapping[str, TxtAnswer]
    hashes: Mapping[BodyRequest, BodyHash]
    now: float  # epoch seconds


def body_requests(block: HeaderBlock) -> tuple[BodyRequest, ...]:
    """The body hashes that judging the chain takes, as `dkim.verify.body_requests`; none for a broken chain."""
    try:
        return tuple(request_of(arc_set.covers) for arc_set in collect(block))
    except TagError:
        return ()


def judge(sets: Sequence[ArcSet], headers: Headers, evidence: Evidence) -> ArcOutcome:
    """The state of a chain whose structure is sound (`parse.collect`), oldest set first.

    A key that cannot be looked up now makes it TEMPERROR unless something else fails as well: RFC 8617 §5.2.1 calls
    that `fail`, too, but who demands a chain should be able to ask for the message again.
    """
    if not sets:
        return ArcOutcome(AuthResult.NONE, reason="the message has no ARC set")
    waiting = None
    for fault in _faults(sets, headers, evidence):
        if fault.result is not AuthResult.TEMPERROR:
            return ArcOutcome(AuthResult.FAIL, reason=fault.reason)
        waiting = waiting or fault
    if waiting is not None:
        return ArcOutcome(AuthResult.TEMPERROR, reason=waiting.reason)
    sealers = tuple(arc_set.seal.domain for arc_set in reversed(sets))
    oldest = _oldest_pass(sets, headers, evidence)
    return ArcOutcome(AuthResult.PASS, sealers, f"the chain of {len(sets)} is whole", oldest)


def seal_input(arc_set: ArcSet, headers: Headers) -> bytes:
    """The fields of a set that stand before its seal, as every seal from its own on signs them (§5.1.1)."""
    return headers.canonical(arc_set.results, RELAXED) + headers.canonical(arc_set.signature.field, RELAXED)


def _faults(sets: Sequence[ArcSet], headers: Headers, evidence: Evidence) -> Iterator[Fault]:
    # RFC 8617 §5.2, steps 3, 4 and 6
    broken = next((arc_set.instance for arc_set in sets if arc_set.verdict == "fail"), 0)
    if broken:
        yield Fault(AuthResult.FAIL, f"the seal of ARC set {broken} says cv=fail")
    if fault := _message_fault(sets[-1], headers, evidence):
        yield Fault(fault.result, f"message signature of ARC set {sets[-1].instance}: {fault.reason}")
    running = hashlib.sha256()
    for arc_set in sets:
        running.update(seal_input(arc_set, headers))
        sealed = running.copy()
        sealed.update(arc_set.seal.blanked.canonical(RELAXED))
        if fault := _seal_fault(arc_set.seal, sealed.digest(), evidence):
            yield Fault(fault.result, f"seal of ARC set {arc_set.instance}: {fault.reason}")
        running.update(headers.canonical(arc_set.seal.field, RELAXED))


def _message_fault(arc_set: ArcSet, headers: Headers, evidence: Evidence) -> Fault | None:
    answer = evidence.answers.get(arc_set.signature.key_name)
    if answer is None:
        return Fault(AuthResult.FAIL, "its key was not looked up: the chain has too many")
    key = key_of(arc_set.signature, answer)
    if isinstance(key, Fault):
        return key
    if arc_set.expiration is not None and arc_set.expiration < evidence.now:
        return Fault(AuthResult.FAIL, "it has expired (x=)")
    body = evidence.hashes[request_of(arc_set.covers)]
    return altered(arc_set.signature, arc_set.covers, headers, body, key) or uncovered(arc_set.covers, headers, body)


def _seal_fault(by: SignedField, digest: bytes, evidence: Evidence) -> Fault | None:
    answer = evidence.answers.get(by.key_name)
    if answer is None:
        return Fault(AuthResult.FAIL, "its key was not looked up: the chain has too many")
    key = key_of(by, answer)
    if isinstance(key, Fault):
        return key
    if not proves(key.key, by.signature, digest):
        return Fault(AuthResult.FAIL, "it does not fit: ARC fields were altered, or the key is another")
    return None


def _oldest_pass(sets: Sequence[ArcSet], headers: Headers, evidence: Evidence) -> int:
    """RFC 8617 §5.2, step 5, but the lowest instance itself where all of them pass."""
    lowest = sets[-1].instance
    for arc_set in reversed(sets[:-1]):
        if _message_fault(arc_set, headers, evidence) is not None:
            break
        lowest = arc_set.instance
    return lowest
