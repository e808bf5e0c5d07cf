"""Finds signatures that held and that a change of ours has broken: RFC 6376 §3.7, computed before and after.

No key is needed: where neither the body's hash nor the digest of the header has changed, what held holds still.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mta.model.message import HeaderBlock, HeaderField
from mta.rfc.dkim.body import BodyHash, BodyRequest
from mta.rfc.dkim.canonicalize import Headers, Unsigned
from mta.rfc.dkim.parse import Signature
from mta.rfc.dkim.verify import request_of, signatures


@dataclass(frozen=True, slots=True)
class BrokenSignature:
    """A signature of somebody else that held before us and does not behind us, and why."""

    domain: str
    selector: str
    reason: str

    def __str__(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}: {self.reason}"


def broken(
    good: Sequence[bool], before: HeaderBlock, after: HeaderBlock, body: Mapping[BodyRequest, BodyHash] | None = None
) -> tuple[BrokenSignature, ...]:
    """Those of the signatures in `before`, judged `good` in their order, that do not hold in `after`.

    `body` has the hashes of the body in `after` for every request of `before`; None: the body is the same.
    """
    held = [
        entry.signature for entry, passed in zip(signatures(before), good, strict=False) if passed and entry.signature
    ]
    if not held:
        return ()
    old, new = Headers(before), Headers(after)
    reasons = ((signature, _reason(signature, old, new, body)) for signature in held)
    return tuple(
        BrokenSignature(signature.by.domain, signature.by.selector, reason) for signature, reason in reasons if reason
    )


def _reason(signature: Signature, old: Headers, new: Headers, body: Mapping[BodyRequest, BodyHash] | None) -> str:
    own = _found_again(signature.by.field, old.block, new)
    if own is None:
        return "the signature was taken out"
    covers = signature.covers
    if body is not None and body[request_of(covers)].digest != covers.body_hash:
        return "the body it signs was changed"
    form = covers.header_form
    was = old.digest(covers.headers, form, signature.by.field, signature.by.blanked.canonical(form))
    if new.digest(covers.headers, form, own, Unsigned.of(own, new.block.raw).canonical(form)) == was:
        return ""
    changed = [name for name in dict.fromkeys(covers.headers) if _values(old, name) != _values(new, name)]
    return f"header fields it signs were changed: {b', '.join(changed).decode('ascii', 'replace')}"


def _found_again(field: HeaderField, block: HeaderBlock, new: Headers) -> HeaderField | None:
    """The same signature among the fields of the changed message, however it is folded there."""
    written = b"".join(_value(field, block).split())
    return next(
        (candidate for candidate in new.named(field.name) if b"".join(_value(candidate, new.block).split()) == written),
        None,
    )


def _values(headers: Headers, name: bytes) -> list[bytes]:
    return [_value(field, headers.block) for field in headers.named(name)]


def _value(field: HeaderField, block: HeaderBlock) -> bytes:
    return block.raw[field.value_start : field.end]
