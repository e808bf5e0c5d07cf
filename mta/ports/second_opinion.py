"""A second opinion: what other people's verifiers say of a message that we have judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from mta.ports.dns import TxtAnswer


class OpinionWord(StrEnum):
    """What the other verifier says. FAIL is a judgement, ERROR that it could not come to one."""

    PASS = "pass"  # noqa: S105 - the result, no password
    FAIL = "fail"
    NONE = "none"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Opinion:
    """The other verifier's word on one signature or chain, and its reason in its own words where it gave one."""

    word: OpinionWord
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ReadResult:
    """One `method=result` as another reader takes it out of our Authentication-Results; the properties are sorted."""

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """All that the others said of one message. `dkim` has one entry for each DKIM-Signature, from the top.

    `keys` is what the names that the other verifier asked for came to; `withheld` are those whose key it was not given
    (too large for arithmetic in Python). `at` is the epoch second by which it judged. `read` is None where our field
    could not be read.
    """

    dkim: tuple[Opinion, ...]
    arc: Opinion
    read: tuple[ReadResult, ...] | None
    keys: Mapping[str, TxtAnswer]
    withheld: frozenset[str]
    at: float
    knows_ed25519: bool = True
