"""The two texts of MTA-STS: the TXT record that announces a policy, and the policy file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mta.model.address import ascii_lower
from mta.model.sts import ENFORCE, NONE, TESTING, StsPolicy

MAX_AGE = 31_557_600  # RFC 8461 §3.2: a year at the most; more means that
MOST_OCTETS = 65_536  # RFC 8461 §3.3: suggested for the body of the answer

_VERSION = re.compile(rb"v=STSv1[ \t]*(?:;|\Z)")
_FIELD = re.compile(rb"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})[ \t]*=[ \t]*([\x21-\x3a\x3c\x3e-\x7e]+)")
_ID = re.compile(rb"[A-Za-z0-9]{1,32}")
_LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,31})[ \t]*:[ \t]*(.*?)[ \t]*")
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_MX = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})+")


class PolicyFault(ValueError):
    """A text is not what RFC 8461 says; the message is for people."""


def policy_id(records: Sequence[bytes]) -> str:
    """The id that the TXT records of `_mta-sts.DOMAIN` announce, empty where they announce no policy.

    Raises PolicyFault where they try to and fail; for a sender that is the same as none (RFC 8461 §3.1).
    """
    announcing = [record for record in records if _VERSION.match(record)]
    if not announcing:
        return ""
    if len(announcing) > 1:
        raise PolicyFault(f"{len(announcing)} TXT records announce a policy, there may be one")
    fields = [part.strip(b" \t") for part in announcing[0].split(b";")[1:]]
    if fields and not fields[-1]:
        fields.pop()  # a final semicolon
    parsed = [_FIELD.fullmatch(field) for field in fields]
    if not all(parsed):
        raise PolicyFault("the TXT record is malformed")
    ids = [field[2] for field in parsed if field and field[1] == b"id"]
    if not ids or not _ID.fullmatch(ids[0]):
        raise PolicyFault("the TXT record has no id of up to 32 letters and digits")
    return ids[0].decode()


def parse_policy(body: bytes) -> StsPolicy:
    """The policy that a file holds (RFC 8461 §3.2). Raises PolicyFault."""
    if len(body) > MOST_OCTETS:
        raise PolicyFault(f"the policy has more than {MOST_OCTETS} octets")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        raise PolicyFault("the policy is not UTF-8") from None
    patterns: dict[str, None] = {}
    fields: dict[str, str] = {}
    for key, value in _fields(text):
        if key == "mx":
            patterns[_pattern(value)] = None
        else:
            fields.setdefault(key, value)  # RFC 8461 §3.2: all but the first are ignored
    if fields.get("version") != "STSv1":
        raise PolicyFault("the policy does not say `version: STSv1`")
    mode = fields.get("mode", "")
    if mode not in (ENFORCE, TESTING, NONE):
        raise PolicyFault(f"unknown mode {mode[:40]!r}" if mode else "the policy states no mode")
    if not patterns and mode != NONE:
        raise PolicyFault("the policy names no mx")
    return StsPolicy(mode, tuple(patterns), _max_age(fields.get("max_age", "")))


def _fields(text: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        line = line.removesuffix("\r")
        if not line.strip(" \t"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise PolicyFault(f"line {number} of the policy is no `key: value`")
        yield match[1], match[2]


def _pattern(value: str) -> str:
    pattern = ascii_lower(value)
    if len(pattern) > 255 or not _MX.fullmatch(pattern):
        raise PolicyFault(f"mx: {value[:80]!r} is neither a host name nor `*.` before one")
    return pattern


def _max_age(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 10):
        raise PolicyFault(f"max_age: {value[:40]!r} is no number of seconds" if value else "the policy has no max_age")
    return min(int(value), MAX_AGE)
