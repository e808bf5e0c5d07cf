"""What marks a message for protection: its subject, a tag in it, and its text (RFC 2047, RFC 5322 §3.6.5)."""

from __future__ import annotations

import re

from mta.model.message import HeaderBlock
from mta.rfc.mime.detach import leaves
from mta.rfc.mime.header import scan_header, without
from mta.rfc.mime.text import fold
from mta.rfc.mime.words import decode_words, encode_words

PHRASE = b"x-protect-phrase"
_TEXT = 1 << 20  # characters of text that are looked at


def subject_of(block: HeaderBlock) -> str:
    """The subject; empty without one."""
    values = block.values(b"subject")
    return decode_words(values[0]) if values else ""


def fields_of(block: HeaderBlock) -> dict[str, tuple[str, ...]]:
    """The values of all header fields by name in lower case."""
    fields: dict[str, tuple[str, ...]] = {}
    for field in block.fields:
        name = field.name.decode("ascii", "replace")
        value = decode_words(block.raw[field.value_start : field.end])
        fields[name] = (*fields.get(name, ()), value)
    return fields


def text_of(message: bytes) -> str:
    """The text of its text parts, up to a bound."""
    texts = []
    for part in leaves(message):
        if part.media_type.startswith("text/"):
            try:
                texts.append(part.data.decode("utf-8"))
            except UnicodeDecodeError:
                texts.append(part.data.decode("latin-1"))
    return "\n".join(texts)[:_TEXT]


def phrase_of(block: HeaderBlock) -> str:
    """The phrase that the author has agreed on with the readers; empty without one."""
    values = block.values(PHRASE)
    return decode_words(values[0]).strip() if values else ""


def header_without_phrase(header: bytes) -> bytes:
    """The header without that phrase: it is for nobody who reads the message."""
    block = scan_header(header, len(header))
    gone = [field for field in block.fields if field.name == PHRASE]
    return b"".join(without(_head(block), gone)) if gone else header


def header_for_vault(block: HeaderBlock, tag: str = "") -> bytes:
    """The header without Bcc (RFC 5322 §3.6.3: nobody else learns whom it names), phrase and tag in the subject."""
    gone = [field for field in block.fields if field.name in (b"bcc", b"resent-bcc", PHRASE)]
    header = b"".join(without(_head(block), gone))
    return header_without_tag(header, tag) if tag else header


def _head(block: HeaderBlock) -> HeaderBlock:
    return HeaderBlock(block.raw[: block.body_start], block.fields, block.body_start, block.extended)


def header_without_tag(header: bytes, tag: str) -> bytes:
    """The header with this tag taken out of its subjects, whatever its case; what else they say stays."""
    block = scan_header(header, len(header))
    pieces, position = [], 0
    for field in block.fields:
        value = header[field.value_start : field.end]
        if field.name != b"subject" or tag.lower() not in decode_words(value).lower():
            continue
        pieces += [header[position : field.value_start], _value_without(value, tag)]
        position = field.end
    return b"".join((*pieces, header[position:]))


def _value_without(value: bytes, tag: str) -> bytes:
    plain = re.compile(rb"[ \t]*" + re.escape(tag.encode()), re.IGNORECASE)
    if plain.search(value):
        return plain.sub(b"", value)
    text = " ".join(re.sub(re.escape(tag), "", decode_words(value), flags=re.IGNORECASE).split())
    return fold("Subject", encode_words(text)).partition(b":")[2]
