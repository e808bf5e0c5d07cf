"""What an SMTP server says to its client and tells of it, and how many errors it bears."""

from __future__ import annotations

from collections import deque

from mta.model.reply import Reply
from mta.rfc.smtp import server_events as events
from mta.rfc.smtp import server_replies as replies
from mta.rfc.smtp.server_state import State
from mta.rfc.smtp.server_terms import Terms

_TAKES_NO_MORE = 452  # RFC 5321 §4.5.3.1.10: the client sends the rest in a further transaction
_UNCOUNTED = 1000  # recipients of a message beyond the limit: each is refused, but none counts as an error


class ServerVoice:
    """Replies and events that wait to be taken, and the counts of errors. The other half is server.py."""

    def __init__(self, terms: Terms) -> None:
        self.state = State.START
        self._terms = terms
        self._events: deque[events.ServerEvent] = deque()
        self._out: list[bytes] = []
        self._clear_counts()

    def _clear_counts(self) -> None:
        self._errors = 0
        self._junk = 0
        self._spared = 0

    @property
    def has_event(self) -> bool:
        """Whether something has happened that was not told yet."""
        return bool(self._events)

    def data_to_send(self) -> bytes:
        """Octets to be written now; each is given once."""
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def _say(self, reply: Reply) -> None:
        self._out.append(reply.render())

    def _end(self, reason: str) -> None:
        if self.state is not State.CLOSED:
            self.state = State.CLOSED
            self._events.append(events.Ended(reason))

    def _mistake(self, reply: Reply, line: str) -> None:
        """An error of the client's: told, counted, slowed down, and too many end the session."""
        self._events.append(events.Mistake(reply, line))
        self._count_error(reply)

    def _refuse(self, reply: Reply) -> None:
        """Say a no that was decided: it counts as an error, but for those that a long list of recipients earns."""
        if reply.code == _TAKES_NO_MORE and self._spared < _UNCOUNTED:
            self._spared += 1
            self._say(reply)
        else:
            self._count_error(reply)

    def _idle(self, reply: Reply) -> None:
        """Answer a command that moves no mail: only so many between messages, each further one is an error."""
        self._junk += 1
        if self._junk <= self._terms.junk_commands:
            self._say(reply)
        else:
            self._count_error(reply)

    def _count_error(self, reply: Reply) -> None:
        self._errors += 1
        self._say(reply)
        if self._errors >= self._terms.hard_errors:
            self._say(replies.TOO_MANY_ERRORS)
            self._end("too many errors")
        elif self._errors >= self._terms.soft_errors and self._terms.error_delay > 0:
            self._events.append(events.Delay(self._terms.error_delay))
