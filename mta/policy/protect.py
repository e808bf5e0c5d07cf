"""Whether mail is protected, with which label and why, and which way each recipient's copy then goes.

Two questions. *Is it wanted?* By a mark of the message (`protection.triggers`), by the contract (`outbound.protect`),
or because encryption is demanded and the contract names the portal for who has no certificate. *Which way?*

    way      taken where                                                                 else
    -------  --------------------------------------------------------------------------  -------------------------
    smime    the contract encrypts, and there is a certificate; or the author has done it  the next one
    tls      the contract says that the line is enough: `without_certificate: tls`, or     the next one
             `when: unencrypted` and the host is verified or pinned
    portal   for the rest

The S/MIME and TLS ways are gone by what policy/transform.py decides of `smime_for`: one code path, and what cannot be
told now (a directory that does not answer) waits there and is never taken for "no certificate".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from mta.contract.connectors import DEFAULT, Connector
from mta.contract.outbound import Outbound
from mta.contract.protection import RECIPIENTS, Label, Trigger
from mta.contract.readers import is_meant
from mta.contract.smime import Smime
from mta.model.attempt import Failure, Scope
from mta.model.reply import Reply
from mta.model.tls import TlsLevel
from mta.model.word import Word
from mta.policy.rights import table
from mta.policy.transform import Copy, to_portal

PORTAL, SMIME, TLS, NONE = "portal", "smime", "tls", "none"

_PORTAL_ONLY = "smime.without_certificate: portal"


@dataclass(frozen=True, slots=True)
class Marks:
    """What of a message triggers look at: header fields by name in lower case, and the text where it is needed."""

    subject: str = ""
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    size: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Wish:
    """The message is to be protected. `tag` is taken out of its subject.

    `if_unencrypted`: for no mark of its own, but because the contract wants that of mail that nothing else encrypts.
    """

    label: str
    why: str
    tag: str = ""
    if_unencrypted: bool = False


@dataclass(frozen=True, slots=True)
class Way:
    """How one recipient's copy goes, why, and why not otherwise."""

    way: str
    why: str = ""
    others: tuple[tuple[str, str], ...] = ()


def concerns(connector: Connector, to_our_own: bool) -> bool:
    """Whether mail by this connector may be protected at all; to our own domains by a contract of their own alone."""
    if not connector.outbound.may_protect:
        return False
    return not to_our_own or (connector.own_outbound and connector.name != DEFAULT)


def needs_text(outbound: Outbound, triggers: Iterable[Trigger]) -> bool:
    """Whether the text of the message has to be read for `wanted`."""
    if outbound.protect.when in ("never", "always"):
        return False
    return any(trigger.words or trigger.pattern is not None for trigger in triggers)


def wanted(outbound: Outbound, triggers: Iterable[Trigger], marks: Marks, *, ours: bool) -> Wish | None:
    """Whether a message is protected. `ours`: it is of our own systems, whose marks count."""
    protect = outbound.protect
    if protect.when != "never" and ours:
        for trigger in triggers:
            if why := matches(trigger, marks):
                return Wish(trigger.label, why, trigger.subject)
    if protect.when in ("always", "unencrypted"):
        return Wish(protect.label, f"outbound.protect: {protect.when}", if_unencrypted=protect.when == "unencrypted")
    if outbound.smime.encrypt == "required" and outbound.smime.without_certificate == "portal":
        return Wish(protect.label, _PORTAL_ONLY)
    return None


def matches(trigger: Trigger, marks: Marks) -> str:
    """Why a message bears this mark: all that is set of it holds; empty if it does not."""
    grounds: list[str] = []
    if trigger.subject:
        if trigger.subject.lower() not in marks.subject.lower():
            return ""
        grounds.append(f"subject tag {trigger.subject}")
    for name, value in trigger.header:
        if value.lower() not in (each.strip().lower() for each in marks.fields.get(name, ())):
            return ""
        grounds.append(f"header {name}: {value}")
    if trigger.sensitivity:
        if trigger.sensitivity.lower() not in (each.strip().lower() for each in marks.fields.get("sensitivity", ())):
            return ""
        grounds.append(f"sensitivity {trigger.sensitivity}")
    if trigger.size is not None:
        if marks.size < trigger.size:
            return ""
        grounds.append(f"size {marks.size} >= {trigger.size}")
    read = f"{marks.subject}\n{marks.text}"
    for name, pattern in (("a word", _words(trigger.words)), ("the pattern", trigger.pattern)):
        if pattern is not None:
            if pattern.search(read) is None:
                return ""
            grounds.append(
                f"{name} of the list in subject or text" if name == "a word" else f"{name} {pattern.pattern}"
            )
    return "trigger: " + " and ".join(grounds) if grounds else ""


@lru_cache(256)
def _words(words: tuple[str, ...]) -> re.Pattern[str] | None:
    """One pattern for all; white space in a phrase is any white space."""
    if not words:
        return None
    each = (r"\s+".join(map(re.escape, phrase.split())) for phrase in words)
    return re.compile(rf"(?<!\w)(?:{'|'.join(each)})(?!\w)", re.IGNORECASE)


def line_suffices(outbound: Outbound, wish: Wish) -> bool:
    """Whether the contract says that the line alone protects this mail."""
    if outbound.smime.encrypt == "required":
        return outbound.smime.without_certificate == "tls"
    return wish.if_unencrypted and outbound.tls.floor >= TlsLevel.VERIFIED


def smime_for(outbound: Outbound, wish: Wish) -> Smime | None:
    """The S/MIME by which protected mail leaves, who has no certificate going as it says; None: the portal for all."""
    smime = outbound.smime
    if line_suffices(outbound, wish):
        return smime
    if smime.encrypt == "never":
        return None
    return replace(smime, encrypt="required", without_certificate="portal")


def way_of(outbound: Outbound, wish: Wish, copy: Copy | Failure | None) -> Way:
    """Which way a recipient's copy goes; `copy` is what policy/transform.py says of it, None where it was not asked."""
    no_smime = "outbound.smime.encrypt: never" if outbound.smime.encrypt == "never" else ""
    if isinstance(copy, Copy):
        if copy.certificate is not None:
            return Way(SMIME, "there is a certificate of the recipient")
        if line_suffices(outbound, wish):
            why = f"the contract is content with the line: TLS {outbound.tls.floor.word}"
            return Way(TLS, why, ((SMIME, no_smime or copy.note),))
        return Way(SMIME, copy.note)  # encrypted by its author
    if isinstance(copy, Failure) and not to_portal(copy):
        return Way(NONE, copy.reason)
    why_not = copy.story if isinstance(copy, Failure) else no_smime
    return Way(PORTAL, wish.why, ((SMIME, why_not or "nothing is encrypted"), (TLS, _no_line(outbound, wish))))


def _no_line(outbound: Outbound, wish: Wish) -> str:
    level = outbound.tls.floor.word
    if outbound.smime.encrypt == "required":
        return f"the contract does not say that the line is enough (without_certificate; TLS {level})"
    if wish.if_unencrypted:
        return f"TLS {level} does not prove whose host it is"
    return f"the contract does not say that the line is enough (TLS {level})"


def refused_reader(label: Label, reader: str, ours: frozenset[str]) -> Failure | None:
    """Why a recipient gets no grant under this label: it is held, until a person has looked. None: it gets one."""
    if any(allowed == RECIPIENTS or is_meant(allowed, reader, ours) for allowed in label.readers):
        return None
    story = f"the label {label.id} is for {', '.join(label.readers)}, not for {reader}"
    reply = Reply(450, "4.7.1", ("Held: the label does not permit this reader",))
    return Failure(Scope.CONTRACT, Word.PROTECT_READER, story, reply, permanent=False, local=True)


def document(label: Label | None, wish: Wish, way: Way) -> dict[str, Any]:
    """What `explain` says of one recipient."""
    return {
        "label": wish.label,
        "why": wish.why,
        "way": way.way,
        "reason": way.why,
        "others": [{"way": name, "reason": reason} for name, reason in way.others],
        "rights": table(label.rights) if label is not None and way.way == PORTAL else {},
    }
