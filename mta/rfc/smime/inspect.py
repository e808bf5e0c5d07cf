"""Shows what any CMS is made of (RFC 5652): each layer, recipient, algorithm, attribute and certificate, as JSON types.

For people who want to see, not for judging: asn1crypto reads here, which knows the shapes of nearly everything and
recurses over it. So `bounds` proves the octets first, and each value that is parsed out of an octet string again.
What it cannot make sense of is shown as unreadable, beside the rest.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from asn1crypto import cms, core, keys, x509

from mta.errors import SmimeError
from mta.rfc.mime.detach import leaves
from mta.rfc.smime.algorithms import COMPRESSED_DATA
from mta.rfc.smime.ber import OID, SEQUENCE, SET, Element, read
from mta.rfc.smime.bounds import prove
from mta.rfc.smime.compressed import decompress
from mta.rfc.smime.names import name_of

Json = Any  # dict, list, str, int, float, bool or None, as json.dumps takes them

MAX_OCTETS = 64 << 20  # of one CMS
MAX_LAYERS = 10
MAX_VALUES = 100_000  # that are shown of all layers together
SHOWN = 32  # octets of a value that are written out
_MAX_TEXT = 500
_CMS_PARTS = ("pkcs7-mime", "pkcs7-signature", "cms")
_FAULTS = (SmimeError, ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)


def inspect(data: bytes) -> Json:
    """The ContentInfo that `data` holds, in BER. Raises SmimeError where it is none or beyond the bounds."""
    return _Tree().layer(data, 1)


def cms_in(message: bytes) -> tuple[bytes, ...]:
    """The CMS that a message carries in parts called application/pkcs7-mime, pkcs7-signature or cms, in order."""
    return tuple(part.data for part in leaves(message) if part.media_type.split("/x-")[-1].split("/")[-1] in _CMS_PARTS)


class _Tree:
    """One look at one CMS, with what may still be shown."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def layer(self, data: bytes, number: int) -> Json:
        if len(data) > MAX_OCTETS:
            raise SmimeError(f"{len(data)} octets, more than the {MAX_OCTETS} that are looked at")
        prove(data)
        try:
            info = cms.ContentInfo.load(data, strict=True)
            kind = info["content_type"].native
            shown = {"layer": number, "content_type": _oid(info["content_type"]), "octets": len(data)}
        except _FAULTS as error:
            raise SmimeError(f"no CMS: {_line(error)}") from error
        if kind not in cms.ContentInfo._oid_specs:
            raise SmimeError(f"no CMS: {shown['content_type']} is no content type of it")
        shown["content"] = self.show(lambda: info["content"])
        shown |= self._inside(data, info, kind, number)
        return shown

    def _inside(self, data: bytes, info: cms.ContentInfo, kind: str, number: int) -> dict[str, Json]:
        """The layers that lie open in this one: what is signed or compressed; what is encrypted stays so."""
        if number >= MAX_LAYERS:
            return {"inside": f"not looked at: more than {MAX_LAYERS} layers"}
        try:
            content = _open_content(data, info, kind)
        except _FAULTS as error:
            return {"inside": {"unreadable": _line(error)}}
        contents = (content,) if _is_cms(content) else cms_in(content)
        return {"inside": [self._next(content_inside, number + 1) for content_inside in contents]} if contents else {}

    def _next(self, data: bytes, number: int) -> Json:
        try:
            return self.layer(data, number)
        except SmimeError as error:
            return {"layer": number, "unreadable": str(error)}

    def show(self, take: Callable[[], object]) -> Json:
        """The value that `take` gives, as JSON. asn1crypto parses when it is asked, so the asking may fail."""
        self._left -= 1
        if self._left < 0:
            return "..."
        try:
            return self._value(take())
        except _FAULTS as error:
            return {"unreadable": _line(error)}

    def _value(self, value: object) -> Json:
        for kinds, show in _SHAPES:
            if isinstance(value, kinds):
                return show(self, value)
        return _text(value.native) if isinstance(value, core.Asn1Value) else _text(value)

    def _choice(self, value: core.Choice) -> Json:
        return {value.name: self.show(lambda: value.chosen)}

    def _untyped(self, value: core.Asn1Value) -> Json:
        """What asn1crypto has no shape for, as it stands."""
        return self._element(read(value.dump()))

    def _element(self, element: Element) -> Json:
        self._left -= 1
        if self._left < 0:
            return "..."
        if element.tag & 0x20:
            parts = [self._element(child) for child in element.children()]
            return {f"[{element.tag & 0x1F}]": parts} if element.tag & 0xC0 else parts
        if element.tag & 0xC0:
            return {f"[{element.tag & 0x1F}]": _octets(bytes(element.body))}
        if element.tag | 0x20 in (SEQUENCE, SET):  # one that claims to have no parts
            return {"unreadable": "a sequence or set without parts of its own", **_octets(bytes(element.body))}
        if element.tag == OID:
            return name_of(element.oid()) or _elsewhere().get(element.oid(), element.oid())
        return self._value(core.load(element.raw))

    def _extension(self, value: x509.Extension) -> Json:
        inner = value["extn_value"]
        return {
            "extension": _oid(value["extn_id"]),
            "critical": bool(value["critical"].native),
            "value": self._parsed(inner),
        }

    def _parsed(self, value: core.ParsableOctetString | core.ParsableOctetBitString) -> Json:
        octets = bytes(value)
        try:
            prove(octets)
        except SmimeError:
            return _octets(octets)
        return self.show(lambda: value.parsed)

    def _certificate(self, value: x509.Certificate) -> Json:
        return {"sha256": value.sha256.hex(), **self._record(value["tbs_certificate"])}

    def _record(self, value: core.Sequence) -> Json:
        if not value._fields:
            return self._untyped(value)
        names = [field[0] for field in value._fields]
        shown = {name: self.show(lambda name=name: value[name]) for name in names}  # type: ignore[misc]
        return {name: value for name, value in shown.items() if value is not None}

    def _key(self, value: keys.PublicKeyInfo) -> Json:
        """asn1crypto reads the keys of the algorithms that it knows alone."""
        algorithm, octets = read(value.dump()).parts(2)
        shown = self.show(lambda: value["algorithm"])
        if "unreadable" in shown:
            shown = self._element(algorithm)
        return {"algorithm": shown, "public_key": _octets(bytes(octets.body[1:]))}

    def _list(self, value: core.SequenceOf) -> list[Json]:
        return [self.show(lambda at=at: value[at]) for at in range(len(value))]  # type: ignore[misc]


def _open_content(data: bytes, info: cms.ContentInfo, kind: str) -> bytes:
    if info["content_type"].dotted == COMPRESSED_DATA:
        return decompress(data, largest=MAX_OCTETS)
    if kind not in ("signed_data", "digested_data", "authenticated_data"):
        return b""
    content = info["content"]["encap_content_info"]["content"]
    return bytes(content) if isinstance(content, core.OctetString) else b""


def _is_cms(content: bytes) -> bool:
    return content[:1] == b"\x30" and b"\x06" in content[1:12] and b"\x2a\x86\x48\x86\xf7\x0d\x01" in content[:24]


def _oid(value: core.ObjectIdentifier) -> str:
    return name_of(value.dotted) or str(value.native)


@lru_cache(1)
def _elsewhere() -> dict[str, str]:
    """The names that asn1crypto has for object identifiers, wherever they may stand."""
    return {oid: name for kind in core.ObjectIdentifier.__subclasses__() for oid, name in (kind._map or {}).items()}


def _octets(octets: bytes) -> Json:
    shown = octets[:SHOWN].hex() + ("..." if len(octets) > SHOWN else "")
    return {"octets": len(octets), "hex": shown}


def _text(value: object) -> Json:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes):
        return _octets(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    return _line(value)


def _line(value: object) -> str:
    text = str(value)[:_MAX_TEXT]
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _integer(value: core.Integer) -> Json:
    native = value.native
    # a serial number or a key is read in hexadecimal
    return f"0x{native:x}" if isinstance(native, int) and abs(native) >= 1 << 32 else native


# In this order: the first that fits shows it. What is not here shows as asn1crypto's own value.
_SHAPES: tuple[tuple[Any, Callable[[_Tree, Any], Json]], ...] = (
    (core.Void, lambda _, __: None),
    (core.Null, lambda _, __: None),
    (x509.Name, lambda _, value: _line(value.human_friendly)),
    (x509.Certificate, _Tree._certificate),
    (x509.Extension, _Tree._extension),
    (keys.PublicKeyInfo, _Tree._key),
    (core.Any, _Tree._untyped),
    (core.Choice, _Tree._choice),
    (core.ObjectIdentifier, lambda _, value: _oid(value)),
    (core.Integer, lambda _, value: _integer(value)),
    ((core.ParsableOctetString, core.ParsableOctetBitString), lambda _, value: _octets(bytes(value))),
    ((core.OctetString, core.OctetBitString), lambda _, value: _octets(bytes(value))),
    (core.BitString, lambda _, value: _text(value.native) if value._map else _octets(value.contents)),
    ((core.Sequence, core.Set), _Tree._record),
    ((core.SequenceOf, core.SetOf), _Tree._list),
)
