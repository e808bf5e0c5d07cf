"""What becomes of mail that others' rights management protects: nobody here can look into it."""

from __future__ import annotations

from dataclasses import replace

from mta.model.foreign import Foreign
from mta.model.reply import Reply
from mta.model.word import Word
from mta.policy.decision import Decision, Reason, Verdict

PASS, HOLD, REFUSE = "pass", "hold", "refuse"


def judge_foreign(decision: Decision, parts: tuple[Foreign, ...], wish: str) -> Decision:
    """The decision on a message with these parts under `protection.foreign`; one that refuses already stays."""
    if not parts or wish == PASS or decision.verdict in (Verdict.REFUSE, Verdict.DEFER):
        return decision
    reasons = (
        *decision.reasons,
        Reason(Word.FOREIGN_PROTECTION, f"nobody here can look into it: {'; '.join(map(str, parts[:10]))}"),
    )
    if wish == HOLD:
        return replace(decision, verdict=Verdict.HOLD, reasons=reasons)
    # RFC 3463 §3.8: X.7.1 is what a policy does not allow
    reply = Reply(550, "5.7.1", ("Messages under rights management are not accepted here",))
    return replace(decision, verdict=Verdict.REFUSE, reply=reply, reasons=reasons)
