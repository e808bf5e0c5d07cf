"""What SPF, DKIM, DMARC and ARC found of a message, and what followed from it."""

from __future__ import annotations

from mta.model.auth import (
    ArcOutcome,
    AuthenticationFacts,
    AuthResult,
    DkimOutcome,
    DmarcOutcome,
    SenderOutcome,
    SpfOutcome,
)
from mta.model.evidence.reading import Json, flag, part, parts, text, texts, whole
from mta.model.frozen import frozen


@frozen
class Authentication:
    """What was found when a message was taken in. `broken_signatures`: those that taking it in has broken."""

    facts: AuthenticationFacts
    decision: str = ""
    reasons: tuple[str, ...] = ()
    broken_signatures: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """As it is kept with the message."""
        raw = {**facts_to_json(self.facts), "decision": self.decision, "reasons": list(self.reasons)}
        return raw | ({"broken_signatures": list(self.broken_signatures)} if self.broken_signatures else {})

    @classmethod
    def from_json(cls, raw: Json) -> Authentication:
        """What `to_json` wrote."""
        return cls(facts_from_json(raw), text(raw, "decision"), texts(raw, "reasons"), texts(raw, "broken_signatures"))


def facts_to_json(facts: AuthenticationFacts) -> dict[str, object]:
    """The results alone; of a method that was not asked, `none`."""
    return {
        "spf": {"helo": _spf_to_json(facts.spf_helo), "mail_from": _spf_to_json(facts.spf_mail_from)},
        "dkim": [_dkim_to_json(outcome) for outcome in facts.dkim],
        "dmarc": _dmarc_to_json(facts.dmarc or DmarcOutcome(AuthResult.NONE)),
        "arc": _arc_to_json(facts.arc or ArcOutcome(AuthResult.NONE)),
        "sender": _sender_to_json(facts.sender or SenderOutcome(AuthResult.NONE)),
    }


def facts_from_json(raw: Json) -> AuthenticationFacts:
    """What is kept of the results."""
    spf, dmarc, arc, sender = (part(raw, key) for key in ("spf", "dmarc", "arc", "sender"))
    return AuthenticationFacts(
        _spf_from_json(part(spf, "helo")),
        _spf_from_json(part(spf, "mail_from")),
        tuple(map(_dkim_from_json, parts(raw, "dkim"))),
        _dmarc_from_json(dmarc),
        ArcOutcome(_result(arc), texts(arc, "sealers"), text(arc, "reason")) if arc else None,
        SenderOutcome(_result(sender), text(sender, "domain"), text(sender, "reason")),
    )


def _spf_to_json(outcome: SpfOutcome) -> dict[str, object]:
    return {"result": outcome.result.value, "domain": outcome.domain, "reason": outcome.reason}


def _spf_from_json(raw: Json) -> SpfOutcome:
    return SpfOutcome(_result(raw), text(raw, "domain"), text(raw, "reason"))


def _dkim_to_json(outcome: DkimOutcome) -> dict[str, object]:
    return {
        "result": outcome.result.value,
        "domain": outcome.domain,
        "selector": outcome.selector,
        "algorithm": outcome.algorithm,
        "bits": outcome.key_bits,
        "reason": outcome.reason,
        **({"testing": True} if outcome.testing else {}),
    }


def _dkim_from_json(raw: Json) -> DkimOutcome:
    domain, selector, algorithm, reason = (text(raw, key) for key in ("domain", "selector", "algorithm", "reason"))
    bits, testing = whole(raw, "bits"), flag(raw, "testing")
    return DkimOutcome(_result(raw), domain, selector, algorithm, reason, bits, testing=testing)


def _dmarc_to_json(outcome: DmarcOutcome) -> dict[str, object]:
    return {
        "result": outcome.result.value,
        "policy": outcome.policy,
        "domain": outcome.domain,
        "policy_domain": outcome.policy_domain,
        "reason": outcome.reason,
    }


def _dmarc_from_json(raw: Json) -> DmarcOutcome:
    return DmarcOutcome(
        _result(raw), text(raw, "policy"), text(raw, "domain"), text(raw, "policy_domain"), text(raw, "reason")
    )


def _arc_to_json(outcome: ArcOutcome) -> dict[str, object]:
    return {"result": outcome.result.value, "sealers": list(outcome.sealers), "reason": outcome.reason}


def _sender_to_json(outcome: SenderOutcome) -> dict[str, object]:
    return {"result": outcome.result.value, "domain": outcome.domain, "reason": outcome.reason}


def _result(raw: Json) -> AuthResult:
    try:
        return AuthResult(text(raw, "result") or "none")
    except ValueError:
        return AuthResult.NONE
