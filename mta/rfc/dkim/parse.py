"""Reads tag lists and the fields that are signatures: RFC 6376 §3.2 and §3.5, as strictly as §6.1.1 demands."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from mta.errors import MtaError
from mta.model.message import HeaderField
from mta.rfc.dkim.canonicalize import Canonicalization, Unsigned
from mta.rfc.idna.encode import a_labels

ALGORITHMS = ("rsa-sha256", "ed25519-sha256")
_TAG_NAME = re.compile(rb"[A-Za-z][A-Za-z0-9_]*+")
_VALUE = bytes(range(0x21, 0x7F)).replace(b";", b"") + b" \t" + bytes(range(0x80, 0x100))
_FIELD_NAMES = re.compile(rb"[ \t]*+[!-9<-~]++[ \t]*+(?::[ \t]*+[!-9<-~]++[ \t]*+)*")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ESCAPED = re.compile(rb"=([0-9A-F]{2})")
_BLANKS = b" \t"


class TagError(MtaError):
    """A tag list or one of its values is not what the standard says; the text tells which, for people."""


@dataclass(frozen=True, slots=True)
class SignedField:
    """What a DKIM-Signature, an ARC-Message-Signature and an ARC-Seal have in common.

    `domain` and `selector` are in lower case and A-labels. `blanked` is the field as it was signed: without b='s value.
    """

    field: HeaderField
    blanked: Unsigned
    algorithm: str
    domain: str
    selector: str
    signature: bytes
    tag: str  # the beginning of b= as it is written (RFC 6008 §4)
    timestamp: int | None

    @property
    def key_name(self) -> str:
        """Where the key stands (RFC 6376 §3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"


@dataclass(frozen=True, slots=True)
class Coverage:
    """What of a message is signed. `headers` is h= in lower case, in its order; `body_length` is l= in octets."""

    headers: tuple[bytes, ...]
    header_form: Canonicalization
    body_form: Canonicalization
    body_hash: bytes
    body_length: int | None


@dataclass(frozen=True, slots=True)
class Signature:
    """A DKIM-Signature field (RFC 6376 §3.5). `identity` is i= or its default."""

    by: SignedField
    covers: Coverage
    expiration: int | None
    identity: str

    @property
    def identity_domain(self) -> str:
        """What stands behind the @ of i=."""
        return self.identity.rpartition("@")[2]


def parse_tags(value: bytes) -> dict[str, bytes]:
    """The tags of a list, values without the white space around them. Raises TagError."""
    parts = value.replace(b"\r\n", b"").split(b";")
    if not parts[-1].strip(_BLANKS):
        parts.pop()  # RFC 6376 §3.2: one semicolon may end the list
    tags: dict[str, bytes] = {}
    for part in parts:
        name, equals, content = part.partition(b"=")
        name = name.strip(_BLANKS)
        if not equals or not _TAG_NAME.fullmatch(name):
            raise TagError(f"{show(part)} is no tag=value")
        if content.translate(None, _VALUE) or not (content.isascii() or _is_utf8(content)):
            raise TagError(f"the value of {name.decode()}= has octets that must not be there")
        if (key := name.decode()) in tags:
            raise TagError(f"{key}= stands there twice")  # RFC 6376 §3.2: then the whole list is invalid
        tags[key] = content.strip(_BLANKS)
    return tags


def parse_signature(field: HeaderField, raw: bytes, tags: Mapping[str, bytes]) -> Signature:
    """A DKIM-Signature field from its tags. Raises TagError with the first reason why it cannot be one."""
    if needed(tags, "v") != b"1":
        raise TagError(f"expected v=1, saw v={show(tags['v'])}")  # RFC 6376 §6.1.1: incompatible version
    by, expiration = parse_signed_field(field, raw, tags), number(tags, "x")
    if expiration is not None and by.timestamp is not None and expiration <= by.timestamp:
        raise TagError("x= is not later than t=")  # RFC 6376 §3.5
    if b"dns/txt" not in [method.strip(_BLANKS) for method in tags.get("q", b"dns/txt").split(b":")]:
        raise TagError(f"q={show(tags['q'])} names no way to the key that is known here")
    return Signature(by, parse_coverage(tags), expiration, _identity(tags, by.domain))


def parse_signed_field(field: HeaderField, raw: bytes, tags: Mapping[str, bytes]) -> SignedField:
    """What all signing fields share. Raises TagError."""
    algorithm = needed(tags, "a").decode("utf-8")
    if algorithm == "rsa-sha1":
        raise TagError("rsa-sha1 proves nothing any more (RFC 8301)")  # RFC 8301 §3.1
    if algorithm not in ALGORITHMS:
        raise TagError(f"the algorithm a={show(algorithm)} is not known here")
    domain, selector = domain_of(needed(tags, "d"), "d"), domain_of(needed(tags, "s"), "s", labels=1)
    if len(selector) + len("._domainkey.") + len(domain) > 253:
        raise TagError("s= and d= together are longer than a domain name can be")
    signature, timestamp = decode(tags, "b"), number(tags, "t")
    tag = b"".join(tags["b"].split())[:12].decode()
    return SignedField(field, Unsigned.of(field, raw), algorithm, domain, selector, signature, tag, timestamp)


def parse_coverage(tags: Mapping[str, bytes]) -> Coverage:
    """What a DKIM-Signature or an ARC-Message-Signature signs. Raises TagError."""
    listed = needed(tags, "h")
    if not _FIELD_NAMES.fullmatch(listed):
        raise TagError("h= holds something that is no field name")
    names = tuple([name.strip() for name in listed.lower().split(b":")])
    if b"from" not in names:
        raise TagError("h= does not name From, so the author is not signed")  # RFC 6376 §5.4
    header_form, body_form = _forms(tags.get("c", b"simple/simple"))
    return Coverage(names, header_form, body_form, decode(tags, "bh"), number(tags, "l", digits=76))


def needed(tags: Mapping[str, bytes], name: str) -> bytes:
    """The value of a tag that must be there and must say something. Raises TagError."""
    if name not in tags:
        raise TagError(f"{name}= is missing")
    if not tags[name]:
        raise TagError(f"{name}= is empty")
    return tags[name]


def number(tags: Mapping[str, bytes], name: str, digits: int = 12) -> int | None:
    """The value of a decimal tag, `None` without it. Raises TagError."""
    value = tags.get(name)
    if value is None:
        return None
    if not value.isdigit() or len(value) > digits:
        raise TagError(f"{name}={show(value)} is no number of at most {digits} digits")
    return int(value)


def decode(tags: Mapping[str, bytes], name: str) -> bytes:
    """The octets of a base64 tag, which may be folded anywhere. Raises TagError."""
    try:
        return base64.b64decode(b"".join(needed(tags, name).split()), validate=True)
    except binascii.Error:
        raise TagError(f"{name}= is no base64") from None


def domain_of(value: bytes, name: str, labels: int = 2) -> str:
    """A domain name in lower case and A-labels (RFC 8616 §4 permits U-labels). Raises TagError."""
    try:
        text = a_labels(value.decode("utf-8"))
    except ValueError:
        raise TagError(f"{name}={show(value)} is no domain name") from None
    if len(text) > 253 or not _NAME.fullmatch(text) or text.count(".") + 1 < labels:
        raise TagError(f"{name}={show(value)} is no domain name")
    return text


def show(value: bytes | str) -> str:
    """A foreign value for people: printable, short, in quotes."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
    return ascii(text if len(text) <= 80 else text[:80] + "...")


def _forms(value: bytes) -> tuple[Canonicalization, Canonicalization]:
    header, _, body = value.partition(b"/")
    try:
        # RFC 6376 §3.5: without a second word the body is `simple`
        return Canonicalization(header.decode()), Canonicalization(body.decode() if b"/" in value else "simple")
    except ValueError:
        raise TagError(f"the canonicalization c={show(value)} is not known") from None


def _identity(tags: Mapping[str, bytes], domain: str) -> str:
    if "i" not in tags:
        return f"@{domain}"
    value = b"".join(tags["i"].split())
    if b"=" in _ESCAPED.sub(b"", value):
        raise TagError(f"i={show(value)} is no quoted-printable")  # RFC 6376 §2.11
    local, at, host = _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), value).rpartition(b"@")
    if not at:
        raise TagError(f"i={show(value)} has no @")
    theirs = domain_of(host, "i")
    # RFC 6376 §6.1.1: d= is the domain of i= or a parent of it
    if theirs != domain and not theirs.endswith(f".{domain}"):
        raise TagError(f"i= names {theirs}, which is not under d={domain}")
    return f"{local.decode('utf-8', 'backslashreplace')}@{theirs}"


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
