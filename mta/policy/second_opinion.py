"""Compares our judgement of a message with that of others, and says of each difference where it comes from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from mta.model.auth import ArcOutcome, AuthenticationFacts, AuthResult, DkimOutcome
from mta.model.message import HeaderBlock, HeaderField
from mta.ports import DnsStatus, TxtAnswer
from mta.ports.second_opinion import Opinion, OpinionWord, ReadResult, SecondOpinion
from mta.rfc.arc.parse import collect
from mta.rfc.authres.parse import parse_results
from mta.rfc.dkim.key import is_key_record
from mta.rfc.dkim.parse import TagError, number, parse_tags
from mta.rfc.dkim.verify import Candidate, signatures

_GRACE = 36_000  # seconds that dkimpy adds to x= and t= for clocks that are wrong


class Cause(StrEnum):
    """Why two verifiers differ; stable words, each with its story in `STORIES`."""

    RSA_SHA1 = "rsa-sha1"
    BODY_LENGTH = "body-length"
    UNSIGNED_FROM = "unsigned-from"
    KEY_LOOKUP = "key-lookup"
    KEY_WITHHELD = "key-withheld"
    SEVERAL_KEYS = "several-keys"
    KEY_TERMS = "key-terms"
    EXPIRED = "expired"
    CLOCK = "clock"
    NOT_A_SIGNATURE = "not-a-signature"
    NOT_A_CHAIN = "not-a-chain"
    NO_ED25519 = "no-ed25519"
    NOT_READ = "not-read"
    UNEXPLAINED = "unexplained"


STORIES = {
    Cause.RSA_SHA1: "the signature is rsa-sha1: dkimpy still takes it, RFC 8301 §3.1 forbids verifiers to",
    Cause.BODY_LENGTH: "only a part of the body is signed (l=): dkimpy calls that good, but whoever carried the message"
    " may have appended what readers see (RFC 6376 §8.2)",
    Cause.UNSIGNED_FROM: "the message has a From field that is not signed, and readers may be shown that one"
    " (RFC 6376 §8.15)",
    Cause.KEY_LOOKUP: "the key could not be looked up: we say so, and that it may work later; dkimpy cannot tell a DNS"
    " failure from a key that is missing",
    Cause.KEY_WITHHELD: "the key is so large that dkimpy, which reckons in Python, was not given it",
    Cause.SEVERAL_KEYS: "there are several records at the key's name: dkimpy takes the first, we take the one that is a"
    " key and refuse to choose between two (RFC 6376 §3.6.2.2)",
    Cause.KEY_TERMS: "the key's owner limits what it is for (k=, h=, s= or t=s of the record): dkimpy looks at some of"
    " these alone",
    Cause.EXPIRED: "the signature has expired (x=): dkimpy grants ten hours more",
    Cause.CLOCK: "x= or t= lies on the other side of the clock that dkimpy goes by, this machine's, with ten hours'"
    " grace",
    Cause.NOT_A_SIGNATURE: "the field breaks a rule of RFC 6376 §6.1.1, and dkimpy overlooks it",
    Cause.NOT_A_CHAIN: "the ARC sets are not in the order and number that RFC 8617 §5.2 demands; dkimpy overlooks it",
    Cause.NO_ED25519: "dkimpy reads Ed25519 with PyNaCl alone, which is not installed",
    Cause.NOT_READ: "dkimpy or authres could not read it; its reason stands beside",
    Cause.UNEXPLAINED: "no cause is known: one of the two is wrong; please keep the message and report it",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two verdicts on one `subject`: `dkim`, `arc` or `authentication-results`. `cause` is None where they agree."""

    subject: str
    name: str  # of a signature: where its key stands
    ours: str
    theirs: str
    reason: str = ""  # of the other verifier
    cause: Cause | None = None

    @property
    def story(self) -> str:
        """The cause in words; empty where they agree."""
        return STORIES[self.cause] if self.cause else ""


@dataclass(frozen=True, slots=True)
class _Pair:
    """Our and their view of one signature, with all that can make them differ."""

    ours: DkimOutcome
    theirs: Opinion
    candidate: Candidate
    tags: dict[str, bytes]
    answer: TxtAnswer | None
    withheld: bool
    knows_ed25519: bool
    now: float
    at: float

    def number(self, name: str) -> int | None:
        """A tag that is a number, if it is one."""
        try:
            return number(self.tags, name)
        except TagError:
            return None


def compare(
    facts: AuthenticationFacts, block: HeaderBlock, results: bytes, theirs: SecondOpinion, now: float
) -> tuple[Comparison, ...]:
    """Each signature, the chain and the field `results`, in this order. `now` is the epoch second of our judgement."""
    pairs = _pairs(facts.dkim, block, theirs, now)
    return (
        *(_signature(pair) for pair in pairs),
        _chain(facts.arc or ArcOutcome(AuthResult.NONE), block, theirs),
        _field(results, theirs.read),
    )


def differences(comparisons: Sequence[Comparison]) -> tuple[Comparison, ...]:
    """Those that do not agree."""
    return tuple(comparison for comparison in comparisons if comparison.cause is not None)


def _pairs(ours: Sequence[DkimOutcome], block: HeaderBlock, theirs: SecondOpinion, now: float) -> list[_Pair]:
    fields = [field for field in block.fields if field.name == b"dkim-signature"]
    unheard = theirs.dkim[0] if len(theirs.dkim) == 1 and theirs.dkim[0].word is OpinionWord.ERROR else None
    missing = unheard or Opinion(OpinionWord.ERROR, "it finds no such signature")
    pairs = []
    for position, (outcome, candidate) in enumerate(zip(ours, signatures(block), strict=False)):
        name = _key_name(outcome)
        pairs.append(
            _Pair(
                outcome,
                theirs.dkim[position] if position < len(theirs.dkim) else missing,
                candidate,
                _tags(fields[position], block.raw),
                theirs.keys.get(name),
                name in theirs.withheld,
                theirs.knows_ed25519,
                now,
                theirs.at,
            )
        )
    return pairs


def _signature(pair: _Pair) -> Comparison:
    agrees = _agree(pair.ours.result, pair.theirs.word)
    cause = None if agrees else next((cause for cause, holds in _CAUSES if holds(pair)), Cause.UNEXPLAINED)
    name = _key_name(pair.ours)
    return Comparison("dkim", name, pair.ours.result.value, pair.theirs.word.value, pair.theirs.reason, cause)


def _agree(ours: AuthResult, theirs: OpinionWord) -> bool:
    """Theirs has fewer words: `fail` and `error` are any that is no pass and will stay so. Unknown is none of them."""
    if ours is AuthResult.PASS:
        return theirs is OpinionWord.PASS
    if ours is AuthResult.NONE:
        return theirs is OpinionWord.NONE
    return ours is not AuthResult.TEMPERROR and theirs in (OpinionWord.FAIL, OpinionWord.ERROR)


def _lenient(pair: _Pair) -> bool:
    return pair.theirs.word is OpinionWord.PASS


def _is_policy(pair: _Pair) -> bool:
    return pair.ours.result is AuthResult.POLICY


def _expired(pair: _Pair) -> bool:
    expiration = pair.number("x")
    return _lenient(pair) and expiration is not None and expiration < pair.now


def _other_clock(pair: _Pair) -> bool:
    expiration, signed = pair.number("x"), pair.number("t")
    past = expiration is not None and expiration < pair.at - _GRACE
    return not _lenient(pair) and (past or (signed is not None and signed > pair.at + _GRACE))


def _several(pair: _Pair) -> bool:
    return pair.answer is not None and len(pair.answer.records) > 1


def _key_found(pair: _Pair) -> bool:
    answer = pair.answer
    return answer is not None and answer.status is DnsStatus.OK and any(map(is_key_record, answer.records))


# In this order: the first that holds is told.
_CAUSES: tuple[tuple[Cause, Callable[[_Pair], bool]], ...] = (
    (Cause.RSA_SHA1, lambda pair: _lenient(pair) and pair.tags.get("a") == b"rsa-sha1"),
    (Cause.KEY_LOOKUP, lambda pair: pair.ours.result is AuthResult.TEMPERROR),
    (Cause.KEY_WITHHELD, lambda pair: pair.withheld),
    (Cause.NO_ED25519, lambda pair: pair.ours.algorithm.startswith("ed25519") and not pair.knows_ed25519),
    (Cause.BODY_LENGTH, lambda pair: _is_policy(pair) and pair.ours.body_length is not None),
    (Cause.UNSIGNED_FROM, _is_policy),
    (Cause.NOT_A_SIGNATURE, lambda pair: _lenient(pair) and pair.candidate.signature is None),
    (Cause.EXPIRED, _expired),
    (Cause.CLOCK, _other_clock),
    (Cause.SEVERAL_KEYS, _several),
    (Cause.KEY_TERMS, lambda pair: _lenient(pair) and pair.ours.result is AuthResult.PERMERROR and _key_found(pair)),
    (Cause.NOT_READ, lambda pair: pair.theirs.word is OpinionWord.ERROR),
)


def _chain(ours: ArcOutcome, block: HeaderBlock, theirs: SecondOpinion) -> Comparison:
    opinion, cause = theirs.arc, None
    if not _agree(ours.result, opinion.word):
        cause = _chain_cause(ours, block, theirs)
    return Comparison("arc", "", ours.result.value, opinion.word.value, opinion.reason, cause)


def _chain_cause(ours: ArcOutcome, block: HeaderBlock, theirs: SecondOpinion) -> Cause:
    if ours.result is AuthResult.TEMPERROR:
        return Cause.KEY_LOOKUP
    if theirs.arc.word is OpinionWord.ERROR:
        return Cause.NOT_READ
    try:
        sets = collect(block)
    except TagError:
        return Cause.NOT_A_CHAIN
    names = {name for arc_set in sets for name in (arc_set.seal.key_name, arc_set.signature.key_name)}
    if names & theirs.withheld:
        return Cause.KEY_WITHHELD
    if any(len(theirs.keys[name].records) > 1 for name in names & theirs.keys.keys()):
        return Cause.SEVERAL_KEYS
    if any(arc_set.covers.body_length is not None for arc_set in sets):
        return Cause.BODY_LENGTH
    return Cause.UNEXPLAINED


def _field(results: bytes, read: tuple[ReadResult, ...] | None) -> Comparison:
    """Whether what we write means to another reader what it means to us."""
    meant = parse_results(results.partition(b":")[2])
    ours = tuple(
        ReadResult(result.method, result.result, tuple(sorted(result.properties)))
        for result in (meant.results if meant else ())
    )
    if read is None:
        return Comparison("authentication-results", "", _words(ours), "", "it cannot be read", Cause.NOT_READ)
    cause = None if read == ours else Cause.UNEXPLAINED
    return Comparison("authentication-results", "", _words(ours), _words(read), "", cause)


def _words(results: Sequence[ReadResult]) -> str:
    return " ".join(f"{result.method}={result.result}" for result in results)


def _key_name(outcome: DkimOutcome) -> str:
    return f"{outcome.selector}._domainkey.{outcome.domain}" if outcome.domain and outcome.selector else ""


def _tags(field: HeaderField, raw: bytes) -> dict[str, bytes]:
    try:
        return parse_tags(raw[field.value_start : field.end])
    except TagError:
        return {}
