"""Header protection, RFC 9788: the header fields of a message copied to where signature and encryption cover them.

The root of what is protected bears the fields themselves and says so in its Content-Type (`hp="clear"`, or
`hp="cipher"` where it is encrypted, too). In an encrypted message HP-Outer fields beside them tell what the sender left
outside, so that a reader knows what was meant to be secret. Which fields are hidden is the Header Confidentiality
Policy; ours is the recommended `hcp_baseline` (§3.2.1), and Outlook's copy of the subject.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from mta.model.message import HeaderBlock, HeaderField
from mta.model.opened import ProtectedHeader
from mta.rfc.mime.content_type import parse_content_type
from mta.rfc.mime.header import unfold
from mta.rfc.mime.seven_bit import LONGEST

HIDDEN_SUBJECT = b"[...]"  # RFC 9788 §3.2.1
_REMOVED = frozenset({b"comments", b"keywords", b"thread-topic"})  # the last is Outlook's copy of the subject
_NAME_AND_VALUE = re.compile(rb"\s*([!-9;-~]++):\s*(.*)", re.DOTALL)
_INTENT = re.compile(  # or a quoted string, in which something may only look like it
    rb';\s*+hp\s*+=\s*+(?:"[^"]*+"|[^\s;]*+)|("(?:[^"\\]|\\.)*"?)', re.IGNORECASE | re.DOTALL
)

# What hosts on the way write, and Bcc, which other recipients must not find inside (RFC 9788 §11.4): not the author's
_TRANSPORT = frozenset(
    {b"received", b"return-path", b"delivered-to", b"dkim-signature", b"authentication-results", b"received-spf"}
    | {b"arc-seal", b"arc-message-signature", b"arc-authentication-results", b"bcc", b"hp-outer", b"x-mta-smime"}
)

# RFC 5322 §3.6.2-3.6.5: what an author says of a message. Other fields steer programs (`X-Spam-Flag`, those by which an
# organisation's hosts tell each other what they found): from inside an envelope nobody has checked them.
_AUTHORS_OWN = frozenset(
    {b"from", b"sender", b"reply-to", b"to", b"cc", b"message-id", b"in-reply-to", b"references"}
    | {b"subject", b"comments", b"keywords", b"date", b"thread-topic"}
)


def is_structural(name: bytes) -> bool:
    """Whether a field (its name in lower case) belongs to the entity and not to the message (RFC 9788 §1.7)."""
    return name.startswith(b"content-") or name == b"mime-version"


def protected_fields(block: HeaderBlock) -> tuple[HeaderField, ...]:
    """The fields of a message that are copied inside: all of its author's but the structural ones."""
    return tuple(field for field in block.fields if not is_structural(field.name) and field.name not in _TRANSPORT)


def confidential(field: HeaderField, raw: bytes) -> bytes | None:
    """What stands outside for this field, by `hcp_baseline`: the whole line, or None where it is left out."""
    if field.name == b"subject":
        return raw[field.start : field.value_start] + b" " + HIDDEN_SUBJECT + b"\r\n"
    return None if field.name in _REMOVED else raw[field.start : field.end]


def hp_outer(line: bytes) -> bytes:
    """The HP-Outer field for a field (a whole line) that stands outside: RFC 9788 §2.2.1."""
    name, _, value = line.partition(b":")
    head, value = b"HP-Outer: " + name + b":", value.lstrip(b" \t\r\n").rstrip(b"\r\n")
    first = value.find(b"\r\n") if b"\r\n" in value else len(value)
    space = b" " if len(head) + 1 + first <= LONGEST else b"\r\n "  # it would be too long to travel
    return head + space + value + b"\r\n"


def with_intent(content_type: bytes, intent: bytes) -> bytes:
    """A Content-Type field (a whole line) that says `hp="clear"` or `hp="cipher"`."""
    return (
        _INTENT.sub(lambda match: match[1] or b"", content_type).rstrip(b"; \t\r\n")
        + b';\r\n\thp="'
        + intent
        + b'"\r\n'
    )


def protected_header(root: HeaderBlock) -> ProtectedHeader:
    """What the header at the root of a protected payload says: RFC 9788 §4.2.1."""
    types = root.values(b"content-type")
    intent = parse_content_type(types[0]).get("hp") if types else ""
    if intent not in ("clear", "cipher"):  # RFC 9788 §4.1
        return ProtectedHeader()
    fields, outer = [], []
    for field in root.fields:
        value = root.raw[field.value_start : field.end]
        if field.name == b"hp-outer":
            match = _NAME_AND_VALUE.match(value)
            if match is not None:
                outer.append((match[1].lower(), _plain(match[2])))
        elif not is_structural(field.name):
            fields.append((field.name, _plain(value)))
    return ProtectedHeader(intent, tuple(fields), tuple(outer))


def differing(protected: ProtectedHeader, outer: HeaderBlock) -> tuple[str, ...]:
    """The names of protected fields that say something else outside, against what the sender left there.

    What the sender hid on purpose (its HP-Outer says what stands outside) does not differ.
    """
    if not protected.intent:
        return ()
    left = protected.outer if protected.intent == "cipher" else protected.fields
    names = dict.fromkeys(name for name, _ in (*protected.fields, *left))
    return tuple(name.decode("latin-1") for name in names if _values(left, name) != _outside(outer, name))


def _values(fields: tuple[tuple[bytes, bytes], ...], name: bytes) -> list[bytes]:
    return [value for key, value in fields if key == name]


def _outside(block: HeaderBlock, name: bytes) -> list[bytes]:
    return [_plain(value) for value in block.values(name)]


def _plain(value: bytes) -> bytes:
    """A value as it is compared: on one line, without white space around it."""
    return b" ".join(unfold(value).split())


def restored(outer: HeaderBlock, root: HeaderBlock, *, keep: frozenset[bytes]) -> Iterator[bytes]:
    """The fields of a message whose protection is taken off: its own, those that were protected as they were inside.

    Only what an author says of a message comes back, but nothing called as in `keep`. Structural fields are left out.
    """
    inside = [field for field in root.fields if field.name in _AUTHORS_OWN - keep]
    names = {field.name for field in inside}
    lines: dict[bytes, list[bytes]] = {name: [] for name in names}
    for field in inside:
        lines[field.name].append(_line(root, field))
    for field in outer.fields:
        if is_structural(field.name):
            continue
        if field.name in names:
            yield from lines.pop(field.name, ())
        else:
            yield _line(outer, field)
    for waiting in lines.values():
        yield from waiting


def _line(block: HeaderBlock, field: HeaderField) -> bytes:
    line = block.raw[field.start : field.end]
    return line if line.endswith(b"\n") else line + b"\r\n"
