"""What every decision looks like: a verdict, a bland reply for the peer, all reasons for us."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mta.model.frozen import frozen
from mta.model.reply import Reply
from mta.model.word import Word


class Verdict:
    """The four things that can be decided about mail."""

    ACCEPT = "accept"
    REFUSE = "refuse"  # 5yz
    DEFER = "defer"  # 4yz
    HOLD = "hold"


@frozen
class Reason:
    """One reason: a stable `word` for machines and searching, and the whole story for the administrator."""

    word: Word
    text: str

    def __str__(self) -> str:
        return f"{self.word}: {self.text}"


@dataclass(frozen=True, slots=True)
class Loser:
    """A connector that was considered and not chosen, with its first failing condition."""

    connector: str
    reason: str


@frozen
class Decision:
    """What was decided under which connector.

    `reply` is what the peer hears if this is not an accept (bland, RFC 3463 codes). In audit mode the verdict is
    ACCEPT and `would` is what enforcing would have decided.
    """

    verdict: str
    connector: str
    mode: str = "enforce"
    reply: Reply | None = None
    reasons: tuple[Reason, ...] = ()
    losers: tuple[Loser, ...] = ()
    would: Decision | None = None

    @property
    def accepted(self) -> bool:
        """Whether the mail may go on."""
        return self.verdict == Verdict.ACCEPT


def with_audit(effective: Decision, enforced: Decision) -> Decision:
    """What happens without the connectors in audit mode, together with what would happen if they were enforced.

    A refusal stays the word of the connector that refuses; an accept is told under the connector that audits.
    """
    same = (enforced.verdict, enforced.connector) == (effective.verdict, effective.connector)
    if same and effective.mode != "audit":
        return effective
    if not effective.accepted:
        return replace(effective, would=enforced)
    return replace(effective, connector=enforced.connector, mode="audit", would=enforced)
