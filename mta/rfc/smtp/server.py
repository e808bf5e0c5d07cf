"""The SMTP server without a socket: octets in, events and replies out (RFC 5321, 2920, 3030, 3207).

The loop of whoever moves the octets:

1. `begin()`, then give what arrives to `receive_data()`, and ask `next_event()` until it is None;
2. do what each event wants (server_events.py): `greet()`, `answer()`, the handshake and `tls_established()`;
3. at None write `data_to_send()` and wait; `state` tells what for. After `Ended` write, and close;
4. `close()` ends it from this side, with the last word.

Replies to pipelined commands gather until they are taken (RFC 2920 §3.2). LocalProtocolError is a defect of the
caller; a client can do nothing that raises.
"""

from __future__ import annotations

from collections.abc import Callable

from mta.errors import LocalProtocolError
from mta.model.reply import Reply
from mta.rfc.smtp import server_events as events
from mta.rfc.smtp import server_replies as replies
from mta.rfc.smtp.command import Command, CommandError, parse_command, valid_helo
from mta.rfc.smtp.server_chunks import ServerChunks
from mta.rfc.smtp.server_content import ContentFault, IncomingContent
from mta.rfc.smtp.server_grammar import read_mail, read_rcpt
from mta.rfc.smtp.server_input import LineTooLong, ServerInput
from mta.rfc.smtp.server_state import LAST_OF_GROUP, NO_ARGUMENT, ON_ANSWER, ON_COMMAND, State
from mta.rfc.smtp.server_terms import Terms

_OF_HTTP = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT"})

_TLS_WANTED, _CONTENT_BEGINS = events.TlsWanted(), events.ContentBegins()
_CLOSED, _ASKED_MESSAGE = State.CLOSED, State.ASKED_MESSAGE  # an Enum looks each member up by a call
_RESET, _ANSWERED = events.TransactionReset(), events.Answered()


class SmtpServer(ServerChunks):
    """One client's conversation, seen from its octets. `starttls`: it is offered; `implicit_tls`: TLS comes first."""

    def __init__(self, terms: Terms, *, starttls: bool = False, implicit_tls: bool = False) -> None:
        super().__init__(terms, implicit_tls=implicit_tls)
        self._starttls = starttls
        self._smtputf8 = False  # of the transaction
        self._marked = IncomingContent(terms)

    # --- octets ---------------------------------------------------------------------------------------------------

    @property
    def received(self) -> int:
        """Octets of the present content, as they travelled."""
        return self._content.received

    def receive_data(self, data: bytes) -> int:
        """Take octets from the client; how many are held now and were not looked at."""
        return 0 if self.state is _CLOSED else self._input.add(data)

    def next_event(self) -> events.ServerEvent | None:
        """The next event, or None if more octets, or an answer, are needed."""
        waiting = self._events
        if not waiting:
            if not self._input.octets:
                return None
            read = _READERS.get(self.state)
            if read is None:
                return None
            read(self)
        return waiting.popleft() if waiting else None

    # --- what is decided elsewhere --------------------------------------------------------------------------------

    def answer(self, reply: Reply) -> None:
        """What was decided about MAIL, RCPT or a message. After `close()` nobody hears it."""
        if self.state is _CLOSED:
            return
        whither = ON_ANSWER.get(self.state)
        if whither is None:
            raise LocalProtocolError(f"an answer in state {self.state.value}")
        if not reply.positive:
            self.state = whither[1]
            self._refuse(reply)
            return
        if self.state is _ASKED_MESSAGE:
            self._clear_counts()
        self.state = whither[0]
        self._say(reply)

    def refuse_content(self, reply: Reply, reason: str) -> None:
        """A message that is complete cannot be kept."""
        self._require(State.ASKED_MESSAGE)
        self._fail_content(ContentFault(reply, reason, fatal=False))

    def close(self, last_word: Reply | None = None) -> None:
        """Read no more and forget what was not told; `last_word` is said unless the end was reached before."""
        if self.state is _CLOSED:
            return
        if last_word is not None:
            self._say(last_word)
        self.state = State.CLOSED
        self._events.clear()
        self._input = ServerInput()

    # --- commands -------------------------------------------------------------------------------------------------

    def _read_command(self) -> None:
        limit = self._terms.command_length
        try:
            line = self._input.line(limit)
        except LineTooLong as error:
            self._mistake(replies.LINE_TOO_LONG, "")
            if error.bare:
                self._end("bare LF in a command")
            return
        if line is None:
            return
        try:
            command = parse_command(line, limit)
        except CommandError as error:
            self._mistake(error.reply, repr(line[:100]))
            if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
                self._end("bare CR or LF in a command")  # two readers might see two commands
            return
        self._perform(command)

    def _perform(self, command: Command) -> None:
        verb, argument = command.verb, command.argument
        leads_to = ON_COMMAND[self.state].get(verb)
        if leads_to is None:
            self._unknown(verb)
        elif verb in LAST_OF_GROUP and self._input.octets and self._terms.forbid_early_talkers:
            self._early(verb)
        elif argument and verb in NO_ARGUMENT:
            self._mistake(replies.NO_ARGUMENT, verb)
        elif verb == "BDAT":
            self._bdat(argument, leads_to)
        elif isinstance(leads_to, Reply):
            self._mistake(leads_to, verb)
        else:
            _VERBS[verb](self, argument, leads_to)

    def _unknown(self, verb: str) -> None:
        if verb not in _OF_HTTP:
            self._mistake(replies.UNKNOWN, verb)
            return
        # a browser that was made to speak to us: what follows is not the word of a mail client
        self._say(replies.NOT_OFFERED)
        self._events.append(events.Mistake(replies.NOT_OFFERED, verb))
        self._end("HTTP")

    def _early(self, verb: str) -> None:
        if verb != "STARTTLS":  # RFC 3207 §4.2, and every STARTTLS injection: nothing is said, it ends at once
            self._say(replies.EARLY)
        self._events.append(events.Mistake(replies.EARLY, verb))
        self._end(f"bytes behind {verb}")

    def _ehlo(self, argument: str, leads_to: State) -> None:
        """RFC 5321 §4.1.1.1."""
        if self._hello(argument, leads_to, esmtp=True):
            offers = self._terms.offers(starttls=self._starttls, secure=self.secure)
            self._idle(Reply(250, "", (f"{self._terms.hostname} greets {argument}", *offers)))

    def _helo(self, argument: str, leads_to: State) -> None:
        """RFC 5321 §4.1.1.1, without extensions."""
        if self._hello(argument, leads_to, esmtp=False):
            self._idle(Reply(250, "", (self._terms.hostname,)))

    def _hello(self, name: str, leads_to: State, *, esmtp: bool) -> bool:
        if not valid_helo(name):
            self._mistake(replies.BAD_HELO, name)
            return False
        self.state = leads_to
        self._esmtp = esmtp
        self._events.append(events.Hello(name, esmtp))
        return True

    def _start_tls(self, _: str, leads_to: State) -> None:
        """RFC 3207: all that was learned before is forgotten."""
        if not self._starttls:
            self._mistake(replies.NOT_OFFERED, "STARTTLS")
        elif self.secure:
            self._mistake(replies.ALREADY_TLS, "STARTTLS")
        elif self._input.octets:
            self._early("STARTTLS")
        else:
            self.state = leads_to
            self._say(replies.READY_FOR_TLS)
            self._events.append(_TLS_WANTED)

    def _mail(self, argument: str, leads_to: State) -> None:
        """RFC 5321 §4.1.1.2."""
        try:
            envelope = read_mail(argument, esmtp=self._esmtp, secure=self.secure, largest=self._terms.message_size)
        except CommandError as error:
            self._mistake(error.reply, str(error))
            return
        self.state = leads_to
        self._smtputf8 = envelope.smtputf8
        self._events.append(events.Mail(envelope))

    def _rcpt(self, argument: str, leads_to: State) -> None:
        """RFC 5321 §4.1.1.3."""
        try:
            recipient = read_rcpt(argument, esmtp=self._esmtp, smtputf8=self._smtputf8)
        except CommandError as error:
            self._mistake(error.reply, str(error))
            return
        self.state = leads_to
        self._events.append(events.Rcpt(recipient))

    def _data(self, _: str, leads_to: State) -> None:
        """RFC 5321 §4.1.1.4."""
        self.state = leads_to
        self._content = self._marked = IncomingContent(self._terms)
        self._say(replies.GO_AHEAD)
        self._events.append(_CONTENT_BEGINS)

    def _rset(self, _: str, leads_to: State) -> None:
        """RFC 5321 §4.1.1.5."""
        self.state = leads_to
        self._events.append(_RESET)
        self._idle(replies.OK)

    def _noop(self, _: str, __: State) -> None:
        """RFC 5321 §4.1.1.9; the argument is ignored."""
        self._events.append(_ANSWERED)
        self._idle(replies.OK)

    def _help(self, _: str, __: State) -> None:
        """RFC 5321 §4.1.1.8."""
        self._events.append(_ANSWERED)
        self._idle(replies.HELP)

    def _vrfy(self, argument: str, _: State) -> None:
        """RFC 5321 §7.3: nothing is given away."""
        if argument:
            self._events.append(_ANSWERED)
            self._idle(replies.VERIFY)
        else:
            self._mistake(replies.NEEDS_ARGUMENT, "VRFY")

    def _quit(self, _: str, __: State) -> None:
        """RFC 5321 §4.1.1.10."""
        self._say(replies.BYE)
        self._end("")

    # --- content --------------------------------------------------------------------------------------------------

    def _read_content(self) -> None:
        data = self._input.take_all()
        if not data:
            return
        content = self._marked
        piece = content.feed(data)
        if not content.done:
            self._events.append(events.Piece(piece))
            return
        if content.rest:
            self._input.put_back(content.rest)
        fault = content.fault
        if fault is None:
            self.state = _ASKED_MESSAGE
            self._events.append(events.MessageComplete(piece, content.verbatim))
        else:
            self._fail_content(fault)


_READERS: dict[State, Callable[[SmtpServer], None]] = {
    State.PROXY: SmtpServer._read_proxy,
    State.HELLO: SmtpServer._read_command,
    State.IDLE: SmtpServer._read_command,
    State.MAIL: SmtpServer._read_command,
    State.RCPT: SmtpServer._read_command,
    State.CONTENT: SmtpServer._read_content,
    State.CHUNK: SmtpServer._read_chunk,
    State.CHUNKS: SmtpServer._read_command,
    State.SKIP: SmtpServer._read_skipped,
}
_VERBS: dict[str, Callable[[SmtpServer, str, State], None]] = {
    "EHLO": SmtpServer._ehlo,
    "HELO": SmtpServer._helo,
    "STARTTLS": SmtpServer._start_tls,
    "MAIL": SmtpServer._mail,
    "RCPT": SmtpServer._rcpt,
    "DATA": SmtpServer._data,
    "RSET": SmtpServer._rset,
    "NOOP": SmtpServer._noop,
    "HELP": SmtpServer._help,
    "VRFY": SmtpServer._vrfy,
    "QUIT": SmtpServer._quit,
}
