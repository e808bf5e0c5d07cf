"""What a reader may do: single rights, and the sets that have a name."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Right(StrEnum):
    """What a reader may do; the names are those of Azure Rights Management, so that labels translate."""

    VIEW = "VIEW"
    VIEWRIGHTSDATA = "VIEWRIGHTSDATA"  # see which rights one has
    EDIT = "EDIT"
    DOCEDIT = "DOCEDIT"
    COMMENT = "COMMENT"
    PRINT = "PRINT"
    EXTRACT = "EXTRACT"  # copy to the clipboard
    OBJMODEL = "OBJMODEL"  # let programs read it
    EXPORT = "EXPORT"  # have it without protection: the original, or its content key
    REPLY = "REPLY"
    REPLYALL = "REPLYALL"
    FORWARD = "FORWARD"
    EDITRIGHTSDATA = "EDITRIGHTSDATA"  # change who may do what
    OWNER = "OWNER"  # everything


class Enforcement(StrEnum):
    """How far a right binds the reader."""

    ENFORCED = "enforced"  # without the right, portal and key server do not do it
    DECLARED = "declared"  # the reader's program is asked to keep it


ALL = frozenset(Right)
_READ = frozenset({Right.VIEW, Right.VIEWRIGHTSDATA})
_ANSWER = frozenset({Right.REPLY, Right.REPLYALL})
_CHANGE = frozenset({Right.EDIT, Right.DOCEDIT, Right.COMMENT, Right.OBJMODEL})

# Names that stand for sets. The levels are Azure Rights Management's; Encrypt-Only is everything but to have it in
# clear and to own it; Do-Not-Forward neither leaves the readers nor the protection.
SETS = {
    "viewer": _READ | {Right.OBJMODEL},
    "reviewer": _READ | _ANSWER | _CHANGE | {Right.FORWARD},
    "co-author": _READ | _ANSWER | _CHANGE | {Right.FORWARD, Right.EXTRACT, Right.PRINT, Right.EXPORT},
    "co-owner": ALL,
    "encrypt-only": ALL - {Right.EXPORT, Right.OWNER, Right.EDITRIGHTSDATA},
    "do-not-forward": _READ | _ANSWER | _CHANGE,
}


def expand(words: str | Iterable[str]) -> frozenset[Right]:
    """The rights that a set's name or a list of names means. Raises ValueError naming the word that is not known."""
    if isinstance(words, str):
        words = [words]
    rights: set[Right] = set()
    for word in words:
        if word.lower() in SETS:
            rights |= SETS[word.lower()]
        elif word.upper() in Right.__members__:
            rights.add(Right[word.upper()])
        else:
            raise ValueError(word)
    return complete(rights)


def complete(rights: Iterable[Right]) -> frozenset[Right]:
    """With what the rights imply: an owner may everything, and nobody does anything with what they cannot see."""
    closure = frozenset(rights)
    if Right.OWNER in closure:
        return ALL
    return closure | _READ if closure else closure
