"""Writes DKIM-Signature fields: RFC 6376 §5, RFC 8301 and RFC 8463. The private key stays where it is.

Always relaxed/relaxed, never l=. What mail clients show or act upon is signed once more than it is there, so that
nobody can add a second From or Subject (RFC 6376 §5.4 and §8.15).
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from mta.rfc.dkim.body import BodyRequest
from mta.rfc.dkim.canonicalize import Canonicalization, Headers, relaxed_field
from mta.rfc.dkim.parse import TagError, domain_of
from mta.rfc.dkim.write import WIDTH, fold, insert_signature

BODY = BodyRequest(Canonicalization.RELAXED)  # the hash that `sign` wants
OVERSIGNED = (
    *(b"from", b"to", b"cc", b"subject", b"date", b"reply-to", b"message-id"),
    *(b"mime-version", b"content-type", b"content-transfer-encoding", b"in-reply-to", b"references"),
)
SIGNED = frozenset(
    b"sender content-disposition content-id content-description content-language list-id list-help list-unsubscribe "
    b"list-unsubscribe-post list-subscribe list-post list-owner list-archive auto-submitted autocrypt tls-required "
    b"tls-report-domain tls-report-submitter "
    b"feedback-id resent-from resent-to resent-cc resent-date resent-sender resent-message-id".split()
)


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signs. `sign` is the private key's operation on a SHA-256 digest of 32 octets.

    For `rsa-sha256` it is RSASSA-PKCS1-v1_5 (RFC 8017 §8.2.1) over the digest, for `ed25519-sha256` PureEdDSA with the
    digest as its message (RFC 8463 §3).
    """

    domain: str  # A-labels
    selector: str
    algorithm: str
    sign: Callable[[bytes], bytes]

    def __post_init__(self) -> None:
        for value, name, labels in ((self.domain, "d", 2), (self.selector, "s", 1)):
            if domain_of(value.encode(), name, labels) != value.lower():
                raise TagError(f"{name}={value} must be written in A-labels")


def sign(headers: Headers, body_hash: bytes, signer: Signer, now: float, expires: float | None = None) -> bytes:
    """The DKIM-Signature field, to be put in front of the message; it ends in CRLF.

    `body_hash` is that of `BODY`; `now` and `expires` (x=, left out without it) are epoch seconds. Several signatures
    may be made from the same `headers`: they do not cover each other.
    """
    names = signed_names(headers)
    tags = [("t", str(int(now)))]
    if expires is not None:
        tags.append(("x", str(int(expires))))
    tags += [("bh", base64.b64encode(body_hash).decode()), ("b", "")]
    value = _who(signer.algorithm, signer.domain, signer.selector, names) + fold(tags, WIDTH)
    unsigned = relaxed_field(b"DKIM-Signature", value.encode())[:-2]
    signature = signer.sign(headers.digest(names, Canonicalization.RELAXED, None, unsigned))
    return b"DKIM-Signature:" + insert_signature(value, signature)


def signed_names(headers: Headers) -> tuple[bytes, ...]:
    """What h= names: each field as often as it is there, those of `OVERSIGNED` once more."""
    names: list[bytes] = []
    for name in OVERSIGNED:
        names += [name] * (len(headers.named(name)) + 1)
    for name in headers.names:
        if name in SIGNED:
            names += [name] * len(headers.named(name))
    return tuple(names)


@lru_cache(maxsize=256)  # one sender's messages have mostly the same fields, and folding is the dearest part of writing
def _who(algorithm: str, domain: str, selector: str, names: tuple[bytes, ...]) -> str:
    tags = [("v", "1"), ("a", algorithm), ("c", "relaxed/relaxed"), ("d", domain), ("s", selector)]
    return fold([*tags, ("h", b":".join(names).decode())], len("DKIM-Signature:")) + ";"
