"""Reads DMARC policy records: RFC 9989 §4.7 and §4.8."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

MAX_RECORD = 16_384  # octets
POLICIES = ("none", "quarantine", "reject")  # weakest first

# RFC 9989 §4.8: the version comes first, and its value is exactly that
_VERSION = re.compile(rb"[vV][ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")
_TAG = re.compile(r"[ \t]*([A-Za-z]+)[ \t]*=[ \t]*([\x20-\x3a\x3c-\x7e]*?)[ \t]*")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[\x22-\x2b\x2d-\x7e]+")  # without `,` and `!` (RFC 9989 §4.8)
_SIZE = re.compile(r"![0-9]+[kmgt]?\Z", re.IGNORECASE)  # of the DMARC before this one, ignored now
_VALUES = {
    "p": POLICIES,
    "sp": POLICIES,
    "np": POLICIES,
    "psd": ("y", "n", "u"),
    "t": ("y", "n"),
    "adkim": ("r", "s"),
    "aspf": ("r", "s"),
}


@dataclass(frozen=True, slots=True)
class DmarcRecord:
    """A policy record. `p`, `sp` and `np` are empty where they are absent.

    `applies`: RFC 9989 §4.10.1 wants a valid `p`, or an address for reports; without either there is no DMARC.
    """

    text: str
    p: str = ""
    sp: str = ""
    np: str = ""
    psd: str = "u"
    testing: bool = False
    strict_dkim: bool = False
    strict_spf: bool = False
    failure_options: str = "0"
    rua: tuple[str, ...] = ()
    ruf: tuple[str, ...] = ()
    applies: bool = True

    def policy(self, *, own: bool, exists: bool | None) -> str:
        """What is asked for: for the domain itself (`own`), or one below it which `exists` or does not.

        RFC 9989 §4.10.1. Where existence is unknown (None) it is that of a domain that exists. `t=y` is in it.
        """
        below = (self.np if exists is False else "") or self.sp or self.p
        asked = self.p if own else below
        level = POLICIES.index(asked)
        return POLICIES[max(0, level - 1)] if self.testing else asked  # RFC 9989 §4.7: t=y, one level below

    @property
    def depends_on_existence(self) -> bool:
        """Whether domains below that do not exist are treated otherwise than those that do."""
        return bool(self.np) and self.np != (self.sp or self.p)


def select_record(records: tuple[bytes, ...]) -> DmarcRecord | None:
    """The policy record among a name's TXT records. Several are as good as none (RFC 9989 §4.10)."""
    policies = [record for record in records if _VERSION.match(record)]
    return parse_record(policies[0]) if len(policies) == 1 else None


@lru_cache(maxsize=1024)
def parse_record(record: bytes) -> DmarcRecord | None:
    """The record; None if the version is not its first tag. Whatever else is wrong leaves the default."""
    version = _VERSION.match(record)
    if version is None or len(record) > MAX_RECORD:
        return None
    text = record.decode("latin-1")
    tags = _tags(text[version.end() :])
    # RFC 9989 §4.7: a syntax error gives way to the default
    good = {name: tags[name].lower() for name, values in _VALUES.items() if tags.get(name, "").lower() in values}
    rua = _uris(tags.get("rua", ""))
    broken = "p" not in good or any(name in tags and name not in good for name in ("sp", "np"))
    if broken:  # RFC 9989 §4.10.1: as if it said p=none, if there is somebody to tell
        good |= {"p": "none", "sp": "", "np": ""}
    return DmarcRecord(
        text="".join(c for c in text if " " <= c <= "~"),
        p=good["p"],
        sp=good.get("sp", ""),
        np=good.get("np", ""),
        psd=good.get("psd", "u"),
        testing=good.get("t") == "y",
        strict_dkim=good.get("adkim") == "s",
        strict_spf=good.get("aspf") == "s",
        failure_options=tags.get("fo", "0"),
        rua=rua,
        ruf=_uris(tags.get("ruf", "")),
        applies=not broken or bool(rua),
    )


def _tags(text: str) -> dict[str, str]:
    """Tags by their names in lower case. One that stands there twice is a syntax error and left out."""
    tags: dict[str, str] = {}
    twice: set[str] = set()
    for part in text.split(";"):
        tag = _TAG.fullmatch(part)
        if tag is None:
            continue
        name = tag[1].lower()
        if name in tags:
            twice.add(name)
        tags[name] = tag[2]
    return {name: value for name, value in tags.items() if name not in twice}


def _uris(text: str) -> tuple[str, ...]:
    """RFC 9989 §4.6: addresses between commas; those that are no URI are passed over."""
    parts = (_SIZE.sub("", part.strip(" \t")) for part in text.split(","))
    return tuple(part for part in parts if _URI.fullmatch(part))
