"""The SMTP client without a socket: octets in, events out (RFC 5321, 2920, 3207, 4954).

The loop of whoever moves the octets:

1. say something (`ehlo`, `starttls`, `begin`, ...), then send `data_to_send()`;
2. give what arrives to `receive_data()` and ask `next_event()` until it is not None; `phase` names the timeout;
3. on `ContentWanted` send `content(...)`, the last piece with `last=True`; `Finished` follows;
4. on `Answered("starttls", 220)` do the handshake, then call `tls_established()`.

RemoteProtocolError from `next_event()` means that the connection is good for nothing more; events that came before it
are given first. LocalProtocolError is a defect of the caller.
"""

from __future__ import annotations

from collections import deque

from mta.errors import LocalProtocolError, RemoteProtocolError
from mta.model.envelope import Envelope
from mta.model.reply import Reply
from mta.ports import Capabilities
from mta.rfc.smtp.client_events import Answered, ClientEvent, ContentWanted, Finished
from mta.rfc.smtp.client_state import MAY_SAY, ON_REPLY, PHASES, State
from mta.rfc.smtp.client_transaction import Exchange, Step
from mta.rfc.smtp.data import DotStuffer
from mta.rfc.smtp.next_hop import (
    Cargo,
    can_carry_recipient,
    ehlo_word,
    mail_command,
    rcpt_command,
    read_capabilities,
    speaks_utf8,
)
from mta.rfc.smtp.reply import ReplyReader
from mta.rfc.smtp.sasl import Exchange as Authentication


class SmtpClient:
    """One connection to a next hop, seen from its octets. `implicit_tls`: they come out of TLS from the start."""

    def __init__(self, *, implicit_tls: bool = False) -> None:
        self.state = State.GREETING
        self.capabilities = Capabilities()
        self.secure = implicit_tls
        self.error: RemoteProtocolError | None = None
        self.heard = 0  # replies
        self.challenge = ""  # the last one of AUTH
        self._reader = ReplyReader()
        self._events: deque[ClientEvent] = deque()
        self._out: list[bytes] = []
        self._awaited: deque[Step] = deque()
        self._transaction: Exchange | None = None
        self._stuffer = DotStuffer()
        self._name = ""
        self._secrets: list[bytes] = []
        self._farewell: Reply | None = None
        self._rset_first = False  # the server still holds a transaction that we gave up

    # --- octets ---------------------------------------------------------------------------------------------------

    @property
    def phase(self) -> str:
        """What is waited for, as the name of its timeout; empty while nothing is."""
        return PHASES.get(self.state, "")

    @property
    def usable(self) -> bool:
        """Whether a command may be said and nothing unexpected has arrived."""
        return self.state is State.IDLE and not self._reader.pending

    @property
    def has_event(self) -> bool:
        """Whether `next_event()` has something to tell."""
        return bool(self._events) or self.error is not None

    def data_to_send(self) -> bytes:
        """Octets to be written now; each is given once."""
        if not self._out:
            return b""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def receive_data(self, data: bytes) -> None:
        """Take octets from the peer. Never raises: what is wrong with them comes from `next_event()`."""
        if self.state is State.CLOSED:
            return
        try:
            replies = self._reader.feed(data)
        except RemoteProtocolError as error:
            self._break(str(error))
            return
        for number, reply in enumerate(replies, 1):
            self._on_reply(reply, alone=number == len(replies) and not self._reader.pending and not self._reader.error)
        if self._reader.error:
            self._break(str(self._reader.error))

    def next_event(self) -> ClientEvent | None:
        """The next event, or None if more octets are needed. Raises RemoteProtocolError once the peer broke SMTP."""
        if self._events:
            return self._events.popleft()
        if self.error:
            raise self.error
        return None

    # --- commands -------------------------------------------------------------------------------------------------

    def ehlo(self, name: str) -> None:
        """EHLO, and HELO by itself if that is refused with 5yz; `Answered` tells of the last of them."""
        self._say("EHLO", State.EHLO, b"EHLO " + ehlo_word(name))
        self._name = name

    def helo(self, name: str) -> None:
        """HELO; the hop then has no extensions."""
        self._say("HELO", State.HELO, b"HELO " + ehlo_word(name))

    def starttls(self) -> None:
        """STARTTLS; after 220 nothing may be said until `tls_established()`."""
        if self.secure:
            raise LocalProtocolError("STARTTLS inside TLS")  # RFC 3207 §4.2
        self._say("STARTTLS", State.STARTTLS, b"STARTTLS")

    def tls_established(self) -> None:
        """The handshake is done. All that was learned in clear is forgotten (RFC 3207 §4.2); EHLO comes next."""
        if self.state is not State.TLS:
            raise LocalProtocolError(f"a TLS handshake in state {self.state.value}")
        self.secure = True
        self.capabilities = Capabilities()
        self._reader = ReplyReader()
        self._rset_first = False
        self.state = State.HELLO

    def authenticate(self, exchange: Authentication) -> None:
        """AUTH, as sasl.py has composed it. Only inside TLS."""
        if not self.secure:
            raise LocalProtocolError("a password is not sent in clear")
        self.challenge = ""
        self._say("AUTH", exchange.state, exchange.command)
        self._secrets = list(exchange.responses)

    def quit(self) -> None:
        """QUIT; after its reply the client is closed."""
        self._say("QUIT", State.QUIT, b"QUIT")

    def begin(self, envelope: Envelope, cargo: Cargo) -> None:
        """MAIL, RCPT… and DATA, in one group where PIPELINING is offered (RFC 2920 §3.1), else one by one.

        The caller has asked `can_carry`; a recipient that this hop cannot be given gets our reply instead.
        """
        transaction = self._prepare(envelope, cargo)
        if transaction.unsent:
            transaction.unsent.append(Step(State.DATA, b"DATA\r\n"))
        self._start(envelope, cargo, transaction)

    def probe(self, envelope: Envelope) -> None:
        """MAIL, RCPT and RSET: asks whether recipients would be taken. Ends with `Finished`, `data` None."""
        cargo = Cargo(0)
        transaction = self._prepare(envelope, cargo)
        transaction.unsent.append(Step(State.RSET, b"RSET\r\n"))
        self._start(envelope, cargo, transaction)

    def content(self, *pieces: bytes, last: bool = False) -> bytes:
        """The octets to write for these pieces of the message, dots stuffed; with `last` the final dot too."""
        self._require("content")
        data = self._stuffer.feed(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if not last:
            return data
        self._await(Step(State.FINAL))
        return data + self._stuffer.finish()

    def whole_content(self, prefix: bytes, content: bytes, *, verbatim: bool) -> bytes:
        """All octets of a message in one piece, for one that is in memory. `verbatim`: model/message.py, Content."""
        self._require("content")
        stuffer = self._stuffer
        self._await(Step(State.FINAL))
        body = stuffer.feed(prefix), stuffer.feed_verbatim(content) if verbatim else stuffer.feed(content)
        return b"".join((*body, stuffer.finish()))

    # --- saying ---------------------------------------------------------------------------------------------------

    def _require(self, command: str) -> None:
        if self.state is State.CLOSED:
            raise self.error or RemoteProtocolError(f"the next hop has closed the session: {self._farewell}")
        if self.state not in MAY_SAY[command]:
            raise LocalProtocolError(f"{command} in state {self.state.value}")
        if self._reader.pending and self.state is not State.CONTENT:
            self._break("octets arrived that nothing had asked for")
            raise self.error or RemoteProtocolError()

    def _say(self, command: str, state: State, line: bytes) -> None:
        self._require(command)
        self._out.append(line + b"\r\n")
        self._await(Step(state))

    def _await(self, step: Step) -> None:
        self._awaited.append(step)
        self.state = self._awaited[0].state

    def _prepare(self, envelope: Envelope, cargo: Cargo) -> Exchange:
        """A transaction with a step for each recipient that the hop can be given."""
        self._require("MAIL")
        if not envelope.recipients:
            raise LocalProtocolError("a transaction without recipients")
        utf8 = speaks_utf8(envelope, cargo, self.capabilities)
        refusals = [can_carry_recipient(recipient, self.capabilities) for recipient in envelope.recipients]
        transaction = Exchange(list(refusals))
        for index, recipient in enumerate(envelope.recipients):
            if refusals[index] is None:
                line = rcpt_command(recipient, self.capabilities, utf8)
                transaction.unsent.append(Step(State.RCPT, line, index))
        return transaction

    def _start(self, envelope: Envelope, cargo: Cargo, transaction: Exchange) -> None:
        """Say MAIL and what follows it, or end at once what has no recipient left."""
        if not any(step.state is State.RCPT for step in transaction.unsent):
            self._transaction = transaction
            transaction.mail = next((r for r in transaction.recipients if r), None)
            transaction.ended = not self._rset_first
            return self._finish()
        transaction.unsent.appendleft(Step(State.MAIL, mail_command(envelope, cargo, self.capabilities)))
        if self._rset_first:
            transaction.unsent.appendleft(Step(State.RSET, b"RSET\r\n"))
        self._transaction = transaction
        return self._say_steps(transaction)

    def _say_steps(self, transaction: Exchange) -> None:
        """Write the next command, or all of them."""
        if "PIPELINING" in self.capabilities:
            steps = list(transaction.unsent)
            transaction.unsent.clear()
        else:
            steps = [transaction.unsent.popleft()]
        self._out.extend(step.line for step in steps)
        self._awaited.extend(steps)
        self.state = self._awaited[0].state

    # --- hearing --------------------------------------------------------------------------------------------------

    def _on_reply(self, reply: Reply, *, alone: bool) -> None:
        state = self.state
        if state is State.CLOSED:
            return
        self.heard += 1
        # RFC 5321 §3.8: 421 may be said at any time, the channel is closing; between 220 and handshake nobody may speak
        if reply.code == 421 and state is not State.TLS:
            self._close(reply)
            return
        leads_to = ON_REPLY.get(state)
        if leads_to is None:
            self._break(f"the next hop said '{reply}' though nothing had been asked")
        elif reply.code // 100 not in leads_to:
            self._break(f"'{reply}' is no reply to {state.value}")
        elif state is State.STARTTLS and reply.positive and not alone:
            # RFC 3207 §4.2 and response injection: what stands behind the 220 in clear must not be read inside TLS
            self._break("octets in clear followed the 220 to STARTTLS")
        elif self._transaction is not None:
            self._on_step(self._transaction, reply)
        else:
            self._on_answer(state, leads_to[reply.code // 100] or State.IDLE, reply)

    def _on_answer(self, state: State, leads_to: State, reply: Reply) -> None:
        """The reply to a command that stands alone."""
        if self._awaited:
            self._awaited.popleft()
        self.state = leads_to
        if reply.code // 100 == 3:  # only AUTH is challenged here
            self.challenge = " ".join(reply.text)
            self._out.append(self._secrets.pop(0) + b"\r\n")
            self._await(Step(leads_to))
            return
        if state is State.EHLO and reply.permanent:  # RFC 5321 §3.2: HELO for those who know no better
            self.helo(self._name)
            return
        if state is State.RSET:
            self._rset_first = False
        if state in (State.EHLO, State.HELO) and reply.positive:
            self.capabilities = read_capabilities(reply, self.secure) if state is State.EHLO else Capabilities()
        self._secrets = []
        self._events.append(Answered(state.value.partition("-")[0], reply))

    def _on_step(self, transaction: Exchange, reply: Reply) -> None:
        """The reply to a command of a transaction, to its content, or to its final dot."""
        if self.state is State.CONTENT:
            self._close(reply)
            return
        step = self._awaited.popleft()
        transaction.record(step, reply)
        if step.state is State.RSET:
            self._rset_first = False
        if step.state is State.DATA and reply.code < 400:
            self._on_go_ahead(transaction)
        elif self._awaited:
            self.state = self._awaited[0].state
        elif transaction.unsent:
            self._say_steps(transaction)
        else:
            self._finish()

    def _on_go_ahead(self, transaction: Exchange) -> None:
        if transaction.accepted:
            self._stuffer = DotStuffer()
            self.state = State.CONTENT
            self._events.append(ContentWanted())
        else:  # RFC 2920 §3.1: 354 though every RCPT was refused: a lone dot, and its reply is ignored
            self._out.append(b".\r\n")
            self._await(Step(State.DISCARD))

    def _finish(self) -> None:
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            raise LocalProtocolError("no transaction to finish")
        self.state = State.IDLE
        self._rset_first = not transaction.ended
        self._events.append(Finished(transaction.replies()))

    def _close(self, reply: Reply) -> None:
        """The peer takes its leave with `reply`, which answers everything that is still open."""
        state, self.state, self._farewell = self.state, State.CLOSED, reply
        if self._transaction is not None:
            self._transaction.close(reply)
            self._events.append(Finished(self._transaction.replies()))
        elif state in PHASES:
            self._events.append(Answered(state.value.partition("-")[0], reply))
        self._forget()

    def _break(self, text: str) -> None:
        if self.state is not State.CLOSED:
            self.error = RemoteProtocolError(text, phase=self.phase)
        self.state = State.CLOSED
        self._forget()

    def _forget(self) -> None:
        self._transaction = None
        self._awaited.clear()
        self._out.clear()
        self._secrets = []
