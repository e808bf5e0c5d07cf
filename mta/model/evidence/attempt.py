"""One host that was tried, and what its domain publishes about its TLS."""

from __future__ import annotations

from mta.model.attempt import Failure, HostAttempt
from mta.model.evidence.reading import Json, flag, number, part, text, texts, whole
from mta.model.evidence.tls import days_left, tls_from_json, tls_to_json
from mta.model.frozen import frozen
from mta.model.published import DanePublished, Published, StsPublished
from mta.model.tls import TlsFacts, TlsLevel
from mta.model.word import first_word


@frozen
class FailureTold:
    """Why a host did not serve: `scope` as in model/attempt.py, a word (model/word.py) or one of a later version."""

    scope: str
    word: str
    permanent: bool
    reply: str
    reason: str

    @classmethod
    def of(cls, failure: Failure) -> FailureTold:
        """What is kept of a failure."""
        return cls(failure.scope.value, failure.word, failure.permanent, str(failure.reply), failure.reason)

    def to_json(self) -> dict[str, object]:
        """As it is kept."""
        return {
            "scope": self.scope,
            "word": self.word,
            "permanent": self.permanent,
            "reply": self.reply,
            "reason": self.reason,
        }

    @classmethod
    def from_json(cls, raw: Json) -> FailureTold | None:
        """What `to_json` wrote, or an earlier version, which kept the word in the reason alone; None: nothing."""
        if not raw:
            return None
        reason = text(raw, "reason")
        word = text(raw, "word") or first_word(reason)
        return cls(text(raw, "scope"), word, flag(raw, "permanent"), text(raw, "reply"), reason)


@frozen
class Attempt:
    """What is kept of one host that was tried; `seconds` it took, `days_left` of its certificate at that moment."""

    host: str = ""
    port: int = 0
    address: str = ""
    seconds: float = 0.0
    requirement: str = ""
    verdict: str = ""
    tls: TlsFacts | None = None
    days_left: int | None = None
    revocation: str = ""
    published: Published | None = None
    reused: bool = False
    tls_given_up: str = ""
    would: str = ""
    failure: FailureTold | None = None

    def reached(self, level: TlsLevel) -> bool:
        """Whether the handshake came to this level (`tls=verified`, `tls=verified:dane`), and no more was demanded."""
        found, _, demanded_in_vain = self.verdict.removeprefix("tls=").partition("!")
        return not demanded_in_vain and found.partition(":")[0] == level.word

    @property
    def satisfied(self) -> bool:
        """Whether the handshake, or its absence, was as demanded; False where it did not come so far."""
        return bool(self.verdict) and "!" not in self.verdict

    @classmethod
    def of(cls, attempt: HostAttempt) -> Attempt:
        """What is kept of an attempt."""
        leaf = attempt.tls.leaf if attempt.tls else None
        return cls(
            attempt.host,
            attempt.port,
            attempt.address,
            round(attempt.seconds, 4),
            attempt.requirement,
            attempt.verdict,
            attempt.tls,
            days_left(leaf, attempt.started) if leaf else None,
            attempt.revocation,
            attempt.published,
            attempt.reused,
            attempt.tls_given_up.reason if attempt.tls_given_up else "",
            attempt.would,
            FailureTold.of(attempt.failure) if attempt.failure else None,
        )

    def to_json(self) -> dict[str, object]:
        """As it is kept, and shown by `mta trace --json`."""
        raw: dict[str, object] = {
            "host": self.host,
            "port": self.port,
            "address": self.address,
            "seconds": self.seconds,
            "requirement": self.requirement,
            "verdict": self.verdict,
            "tls": tls_to_json(self.tls),
        }
        if self.days_left is not None:
            raw["days_left"] = self.days_left
        if self.revocation:
            raw["revocation"] = self.revocation
        if self.published is not None:
            raw["published"] = published_to_json(self.published)
        if self.reused:
            raw["reused"] = True
        if self.tls_given_up:
            raw["tls_given_up"] = self.tls_given_up
        if self.would:
            raw["would"] = self.would
        if self.failure is not None:
            raw["failure"] = self.failure.to_json()
        return raw

    @classmethod
    def from_json(cls, raw: Json) -> Attempt:
        """What `to_json` wrote."""
        return cls(
            text(raw, "host"),
            whole(raw, "port"),
            text(raw, "address"),
            number(raw, "seconds"),
            text(raw, "requirement"),
            text(raw, "verdict"),
            tls_from_json(part(raw, "tls")),
            whole(raw, "days_left") if "days_left" in raw else None,
            text(raw, "revocation"),
            published_from_json(part(raw, "published")),
            flag(raw, "reused"),
            text(raw, "tls_given_up"),
            text(raw, "would"),
            FailureTold.from_json(part(raw, "failure")),
        )


def published_to_json(published: Published | None) -> dict[str, object]:
    """What DANE and MTA-STS said; nothing of what was not asked."""
    raw: dict[str, object] = {}
    if published is None:
        return raw
    if dane := published.dane:
        raw["dane"] = {
            "state": dane.state,
            "base": dane.base,
            "records": list(dane.records),
            **({"unusable": list(dane.unusable)} if dane.unusable else {}),
            **({"detail": dane.detail} if dane.detail else {}),
            "mx": "secure" if dane.mx_secure else "insecure",
        }
    if sts := published.sts:
        raw["mta_sts"] = {
            "state": sts.state,
            "id": sts.id,
            **({"mx": list(sts.mx)} if sts.mx is not None else {}),
            **({"problem": sts.problem} if sts.problem else {}),
        }
    return raw


def published_from_json(raw: Json) -> Published | None:
    """What `published_to_json` wrote; None: nothing."""
    dane, sts = part(raw, "dane"), part(raw, "mta_sts")
    if not dane and not sts:
        return None
    return Published(_dane(dane) if dane else None, _sts(sts) if sts else None)


def _dane(raw: Json) -> DanePublished:
    records, unusable = texts(raw, "records"), texts(raw, "unusable")
    mx_secure = text(raw, "mx") == "secure"
    return DanePublished(text(raw, "state"), text(raw, "base"), records, unusable, text(raw, "detail"), mx_secure)


def _sts(raw: Json) -> StsPublished:
    mx = texts(raw, "mx") if "mx" in raw else None
    return StsPublished(text(raw, "state"), text(raw, "id"), mx, text(raw, "problem"))
