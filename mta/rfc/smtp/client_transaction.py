"""What a client knows of the one mail transaction that is under way (RFC 5321 §3.3)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from mta.model.reply import Reply
from mta.ports import TransactionReplies
from mta.rfc.smtp.client_state import State


@dataclass(slots=True)
class Step:
    """One command of a transaction and the state of waiting for its reply. `index`: of the recipient."""

    state: State
    line: bytes = b""
    index: int = -1


@dataclass(slots=True)
class Exchange:
    """The commands still to be said and the replies so far. `recipients` is parallel to the envelope's."""

    recipients: list[Reply | None]
    mail: Reply | None = None
    data: Reply | None = None
    accepted: bool = False  # MAIL and at least one RCPT
    ended: bool = False  # the server has closed it: after the final dot, or because MAIL was refused
    unsent: deque[Step] = field(default_factory=deque)

    def record(self, step: Step, reply: Reply) -> None:
        """Note a reply where it belongs; forget commands that have become pointless."""
        if step.state is State.MAIL:
            self._on_mail(reply)
        elif step.state is State.RCPT:
            self._on_rcpt(step.index, reply)
        elif step.state is State.FINAL or (step.state is State.DATA and self.accepted and not reply.positive):
            self.data = reply
        elif step.state is State.RSET:
            self.ended = self.mail is not None  # one that stands before MAIL ends an older transaction
        if step.state in (State.FINAL, State.DISCARD):
            self.ended = True  # RFC 5321 §4.1.1.4: the buffers are cleared, whatever the reply

    def _on_mail(self, reply: Reply) -> None:
        self.mail = reply
        if not reply.positive:
            self.ended = True
            self.unsent.clear()

    def _on_rcpt(self, index: int, reply: Reply) -> None:
        self.recipients[index] = reply
        self.accepted = self.accepted or (reply.positive and self.mail is not None and self.mail.positive)
        if not self.accepted and self.unsent and self.unsent[0].state is State.DATA:
            self.unsent.clear()

    def close(self, last: Reply) -> None:
        """The server takes its leave: whatever has no reply yet gets this one."""
        self.mail = self.mail or last
        if self.mail.positive:
            self.recipients = [reply or last for reply in self.recipients]
        if self.accepted:  # otherwise a recipient that was taken would look delivered
            self.data = last

    def replies(self) -> TransactionReplies:
        """What the hop said, or what we said in its place."""
        mail = self.mail or Reply(451, "4.4.0", ("no reply to MAIL",))
        if not mail.positive:
            return TransactionReplies(mail)
        return TransactionReplies(mail, tuple(reply for reply in self.recipients if reply), self.data)
