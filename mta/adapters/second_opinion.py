"""Asks dkimpy about the signatures and the ARC chain of a message, and authres about our Authentication-Results.

Both are pure Python and meant for good input: whatever they raise is their word on the message and ends nothing here.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import time
from collections.abc import Callable

import authres
import dkim

from mta.ports import DnsStatus, TxtAnswer
from mta.ports.second_opinion import Opinion, OpinionWord, ReadResult, SecondOpinion
from mta.rfc.idna.encode import a_labels

LookUp = Callable[[str], TxtAnswer]  # the TXT records of a name; may take as long as DNS does

MOST = 10  # signatures, as many as we judge ourselves
MAX_KEY = 1024  # octets of a key record: RSA of 4,096 bits fits; more is seconds of Python's arithmetic
MAX_OCTETS = 262_144  # of a message of live mail
MAX_BLANKS = 256  # of white space in one run of a header: dkimpy's patterns go over a run again and again
_MAX_FIELD = 8192  # octets of one field of live mail
_MAX_REASON = 300


def bearable(raw: bytes) -> bool:
    """Whether asking takes little time, whoever wrote the message: dkimpy holds Python's lock while it works."""
    if len(raw) > MAX_OCTETS or _longest(raw, rb"[ \t]++") > MAX_BLANKS:
        return False
    fields = re.split(rb"\r\n(?![ \t])", raw.partition(b"\r\n\r\n")[0])
    return all(len(field) <= _MAX_FIELD and _longest(field, rb"[ \t\r\n]++") <= MAX_BLANKS for field in fields)


def _longest(octets: bytes, blanks: bytes) -> int:
    return max((len(run) for run in re.findall(blanks, octets)), default=0)


def second_opinion(raw: bytes, results: bytes, look_up: LookUp) -> SecondOpinion:
    """What the others say of the message `raw`, and how they read `results`, our Authentication-Results field."""
    keys = _Keys(look_up)
    signatures, chain = _dkim(raw, keys), _arc(raw, keys)
    ed25519 = importlib.util.find_spec("nacl") is not None
    return SecondOpinion(
        signatures, chain, _read(results), keys.asked, frozenset(keys.withheld), time.time(), knows_ed25519=ed25519
    )


class _Ear(logging.Handler):
    """Hears why dkimpy said no: for a key that cannot be used it tells its log alone."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard = ""
        self.logger = logging.Logger("second-opinion", logging.ERROR)
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps the last thing said."""
        self.heard = record.getMessage()[:_MAX_REASON]


class _Keys:
    """Answers dkimpy's questions for keys as its own resolver would, from ours, and remembers what was asked."""

    def __init__(self, look_up: LookUp) -> None:
        self._look_up = look_up
        self.asked: dict[str, TxtAnswer] = {}
        self.withheld: set[str] = set()

    def __call__(self, name: bytes, timeout: float = 5) -> bytes | None:
        try:
            host = a_labels(name.decode("utf-8").rstrip("."))
        except ValueError:
            return None
        if host not in self.asked:
            self.asked[host] = self._look_up(host)
        answer = self.asked[host]
        if answer.status is not DnsStatus.OK or not answer.records:
            return None  # dkimpy's own resolver does not tell a failure from an absence either
        if len(answer.records[0]) > MAX_KEY:
            self.withheld.add(host)
            return None
        return answer.records[0]


def _dkim(raw: bytes, keys: _Keys) -> tuple[Opinion, ...]:
    ear = _Ear()
    try:
        judge = dkim.DKIM(raw, logger=ear.logger)
        count = sum(1 for name, _ in judge.headers if name.lower() == b"dkim-signature")
    except Exception as error:
        return (_error(error),)
    return tuple(_signature(judge, number, keys, ear) for number in range(min(count, MOST)))


def _signature(judge: dkim.DKIM, number: int, keys: _Keys, ear: _Ear) -> Opinion:
    ear.heard = ""
    try:
        if judge.verify(number, dnsfunc=keys):
            return Opinion(OpinionWord.PASS)
        return Opinion(OpinionWord.FAIL, ear.heard)
    except dkim.ValidationError as error:  # its word for a signature that is not good, or must not count
        return Opinion(OpinionWord.FAIL, str(error)[:_MAX_REASON])
    except Exception as error:
        return _error(error)


def _arc(raw: bytes, keys: _Keys) -> Opinion:
    try:
        verdict, _, reason = dkim.arc_verify(raw, logger=_Ear().logger, dnsfunc=keys)
    except Exception as error:
        return _error(error)
    if verdict == dkim.CV_None:
        return Opinion(OpinionWord.NONE)
    # it answers None for a chain that a seal has ended (cv=fail)
    return Opinion(OpinionWord.PASS if verdict == dkim.CV_Pass else OpinionWord.FAIL, str(reason)[:_MAX_REASON])


def _error(error: Exception) -> Opinion:
    return Opinion(OpinionWord.ERROR, f"{type(error).__name__}: {error}"[:_MAX_REASON])


def _read(results: bytes) -> tuple[ReadResult, ...] | None:
    try:
        header = authres.all_features().parse(results.decode("ascii").replace("\r\n", ""))
        return tuple(
            ReadResult(
                str(result.method),
                str(result.result),
                tuple(sorted((f"{each.type}.{each.name}", str(each.value)) for each in result.properties)),
            )
            for result in header.results
        )
    except Exception:
        return None
