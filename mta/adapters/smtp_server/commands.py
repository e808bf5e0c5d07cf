"""The verbs of RFC 5321 §4.1.1, one method each, in aiosmtpd's manner: grammar and order here, decisions elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from mta.adapters.smtp_server.content import Arrived, ContentFault, receive_content
from mta.adapters.smtp_server.settings import ServerSettings
from mta.adapters.smtp_server.stream import ClientStream, Hangup
from mta.model.address import Mailbox
from mta.model.envelope import Envelope, Recipient
from mta.model.reply import Reply
from mta.model.session import SessionFacts
from mta.observe.log import EventLog
from mta.ports import InboundSession
from mta.rfc.smtp.address import AddressError, parse_path
from mta.rfc.smtp.command import Command, CommandError, path_of, valid_helo
from mta.rfc.smtp.parameters import ParameterError, parse_mail_parameters, parse_rcpt_parameters

_EXTENSIONS = frozenset({"SIZE", "8BITMIME", "SMTPUTF8", "DSN"})  # that carry parameters
_INSIDE_TLS = _EXTENSIONS | {"REQUIRETLS"}  # RFC 8689 §2: offered there alone
_NONE: frozenset[str] = frozenset()
_TAKES_NO_MORE = 452  # RFC 5321 §4.5.3.1.10: the client sends the rest in a further transaction
_UNCOUNTED = 1000  # recipients of a message beyond the limit: each is refused, but none counts as an error
_OF_HTTP = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT"})
_ALONE = frozenset({"EHLO", "HELO", "STARTTLS", "DATA"})  # RFC 2920 §3.1: the last of a group

_OK = Reply(250, "2.0.0", ("Ok",))
_BYE = Reply(221, "2.0.0", ("Bye",))
_GO_AHEAD = Reply(354, "", ("End data with <CR><LF>.<CR><LF>",))
_READY = Reply(220, "2.0.0", ("Ready to start TLS",))
_UNKNOWN = Reply(500, "5.5.1", ("Command not recognized",))
_NOT_OFFERED = Reply(502, "5.5.1", ("Command not implemented",))
_VERIFY = Reply(252, "2.5.0", ("Cannot verify, but will take mail for this user and try to deliver it",))
_HELO_FIRST = Reply(503, "5.5.1", ("Send EHLO first",))
_MAIL_FIRST = Reply(503, "5.5.1", ("Send MAIL first",))
_NESTED = Reply(503, "5.5.1", ("Nested MAIL command",))
_NO_RECIPIENTS = Reply(554, "5.5.1", ("No valid recipients",))
_NEEDS_ARGUMENT = Reply(501, "5.5.4", ("A parameter is required",))
_NO_ARGUMENT = Reply(501, "5.5.4", ("No parameters allowed",))
_BAD_HELO = Reply(501, "5.5.4", ("A domain or an address literal is required",))
_TOO_LARGE = Reply(552, "5.3.4", ("Message larger than the limit announced",))
_NEEDS_UTF8 = Reply(553, "5.6.7", ("Address needs SMTPUTF8",))
_BAD_SENDER = Reply(501, "5.1.7", ("Syntax error in sender address",))
_BAD_RECIPIENT = Reply(501, "5.1.3", ("Syntax error in recipient address",))
_ALREADY_TLS = Reply(503, "5.5.1", ("TLS is already active",))
_TOO_MANY_ERRORS = Reply(421, "4.7.0", ("Too many errors",))
_EARLY = Reply(554, "5.5.0", ("Commands sent before the reply that permits them",))


class Commands:
    """The verbs. The other half, the connection's life, is in protocol.py."""

    settings: ServerSettings
    stream: ClientStream
    facts: SessionFacts
    log: EventLog
    mail_session: InboundSession | None
    loop: asyncio.AbstractEventLoop
    committing: bool  # a message is being judged and made durable

    # what protocol.py provides
    reply: Callable[[Reply], None]
    flush: Callable[[], Awaitable[None]]
    switch_to_tls: Callable[[], Awaitable[None]]
    set_deadline: Callable[[float], None]
    clear_deadline: Callable[[], None]

    def _reset_counts(self) -> None:
        self._errors = 0
        self._junk = 0
        self._spared = 0
        self._envelope: Envelope | None = None
        self._accepted = 0
        self._said_goodbye = False

    async def perform(self, command: Command) -> None:
        """One command, in order."""
        method = getattr(self, f"smtp_{command.verb}", None) if command.verb.isalpha() else None
        if method is None:
            await self._unknown(command.verb)
            return
        if self.stream.buffered and command.verb in _ALONE and self.settings.forbid_early_talkers:
            await self._early(command.verb)
        await method(command.argument)

    async def _unknown(self, verb: str) -> None:
        if verb in _OF_HTTP:  # a browser that was made to speak to us: what follows is not the word of a mail client
            self.reply(_NOT_OFFERED)
            self.decider.error(self.facts, _NOT_OFFERED, verb)
            raise Hangup("HTTP")
        await self.mistake(_UNKNOWN, verb)

    async def _early(self, verb: str) -> None:
        if verb != "STARTTLS":  # RFC 3207 §4.2, and every STARTTLS injection: nothing is said, it ends at once
            self.reply(_EARLY)
        self.decider.error(self.facts, _EARLY, verb)
        raise Hangup(f"bytes behind {verb}")

    @property
    def decider(self) -> InboundSession:
        """The deciding side."""
        assert self.mail_session is not None
        return self.mail_session

    async def mistake(self, reply: Reply, line: str) -> None:
        """An error of the client's: told, counted, slowed down, and too many end the session."""
        self._errors += 1
        self.decider.error(self.facts, reply, line)
        await self._penalty(reply)

    async def _penalty(self, reply: Reply) -> None:
        if self._errors >= self.settings.hard_errors:
            self.reply(reply)
            self.reply(_TOO_MANY_ERRORS)
            raise Hangup("too many errors")
        if self._errors >= self.settings.soft_errors and self.settings.error_delay > 0:
            await asyncio.sleep(self.settings.error_delay)
        self.reply(reply)

    def _granted(self, reply: Reply) -> bool:
        """Say what was decided if it is a yes; whether it was."""
        if reply.positive:
            self.reply(reply)
        return reply.positive

    async def _refuse(self, reply: Reply) -> None:
        """Say a no that was decided: it counts as an error, but for those that a long list of recipients earns."""
        if reply.code == _TAKES_NO_MORE and self._spared < _UNCOUNTED:
            self._spared += 1
            self.reply(reply)
            return
        self._errors += 1
        await self._penalty(reply)

    async def _idle(self, reply: Reply) -> None:
        """A command that moves no mail: only so many between messages, each further one is an error."""
        self._junk += 1
        if self._junk <= self.settings.junk_commands:
            self.reply(reply)
            return
        self._errors += 1
        await self._penalty(reply)

    def _forget(self) -> None:
        self.decider.reset()
        self._envelope = None
        self._accepted = 0

    # --- the verbs ------------------------------------------------------------------------------------------------

    async def smtp_EHLO(self, argument: str) -> None:
        """RFC 5321 §4.1.1.1."""
        if not valid_helo(argument):
            await self.mistake(_BAD_HELO, argument)
            return
        self._forget()
        self.facts = replace(self.facts, helo=argument, esmtp=True)
        await self._idle(Reply(250, "", (f"{self.settings.hostname} greets {argument}", *self._offers())))

    def _offers(self) -> list[str]:
        offers = ["PIPELINING", f"SIZE {self.settings.message_size}", "8BITMIME", "SMTPUTF8", "DSN"]
        if self.settings.tls is not None and self.facts.tls is None:
            offers.append("STARTTLS")
        if self.facts.tls is not None:
            offers.append("REQUIRETLS")
        offers.append("ENHANCEDSTATUSCODES")
        return offers

    async def smtp_HELO(self, argument: str) -> None:
        """RFC 5321 §4.1.1.1, without extensions."""
        if not valid_helo(argument):
            await self.mistake(_BAD_HELO, argument)
            return
        self._forget()
        self.facts = replace(self.facts, helo=argument, esmtp=False)
        await self._idle(Reply(250, "", (self.settings.hostname,)))

    async def smtp_STARTTLS(self, argument: str) -> None:
        """RFC 3207: all that was learned before is forgotten."""
        if argument:
            await self.mistake(_NO_ARGUMENT, "STARTTLS")
        elif self.settings.tls is None:
            await self.mistake(_NOT_OFFERED, "STARTTLS")
        elif self.facts.tls is not None:
            await self.mistake(_ALREADY_TLS, "STARTTLS")
        else:
            if self.stream.buffered:
                await self._early("STARTTLS")
            self._forget()
            self.reply(_READY)
            await self.flush()
            await self.switch_to_tls()
            # RFC 3207 §4.2: the client says EHLO again; what it said in clear does not count
            self.facts = replace(self.facts, helo="", esmtp=False)

    async def smtp_MAIL(self, argument: str) -> None:
        """RFC 5321 §4.1.1.2 with RFC 1870, 6152, 6531, 3461, 8689."""
        if not self.facts.helo:
            await self.mistake(_HELO_FIRST, "MAIL")
            return
        if self._envelope is not None:
            await self.mistake(_NESTED, "MAIL")
            return
        extensions = (_INSIDE_TLS if self.facts.tls else _EXTENSIONS) if self.facts.esmtp else _NONE
        try:
            text = path_of(argument, "FROM:")
            sender, rest = parse_path(text, smtputf8=self.facts.esmtp, null_ok=True)
            parameters = parse_mail_parameters(rest, extensions)
        except (CommandError, ParameterError) as error:
            await self.mistake(error.reply, argument)
            return
        except AddressError as error:
            await self.mistake(_BAD_SENDER, str(error))
            return
        if fault := self._unfit(sender, parameters.smtputf8, parameters.size):
            await self.mistake(fault, argument)
            return
        envelope = Envelope(
            sender,
            body=parameters.body,
            smtputf8=parameters.smtputf8,
            ret=parameters.ret,
            envid=parameters.envid,
            size=parameters.size,
            tls="required" if parameters.requiretls else "",
        )
        reply = self.decider.mail(self.facts, envelope)
        if self._granted(reply):
            self._envelope = envelope
        else:
            await self._refuse(reply)

    def _unfit(self, mailbox: Mailbox | None, smtputf8: bool, size: int = 0) -> Reply | None:
        if size > self.settings.message_size:  # RFC 1870 §6.1
            return _TOO_LARGE
        if mailbox is not None and not smtputf8 and not mailbox.is_ascii:  # RFC 6531 §3.5
            return _NEEDS_UTF8
        return None

    async def smtp_RCPT(self, argument: str) -> None:
        """RFC 5321 §4.1.1.3; `<postmaster>` needs no domain (§4.5.1)."""
        if self._envelope is None:
            await self.mistake(_MAIL_FIRST, "RCPT")
            return
        try:
            text = path_of(argument, "TO:")
            mailbox, rest = parse_path(text, smtputf8=self.facts.esmtp, null_ok=False, postmaster_ok=True)
            parameters = parse_rcpt_parameters(rest, _EXTENSIONS if self.facts.esmtp else _NONE)
        except (CommandError, ParameterError) as error:
            await self.mistake(error.reply, argument)
            return
        except AddressError as error:
            await self.mistake(_BAD_RECIPIENT, str(error))
            return
        assert mailbox is not None
        if fault := self._unfit(mailbox, self._envelope.smtputf8):
            await self.mistake(fault, argument)
            return
        recipient = Recipient(mailbox, parameters.notify, parameters.orcpt)
        reply = await self.decider.recipient(self.facts, recipient)
        if self._granted(reply):
            self._accepted += 1
        else:
            await self._refuse(reply)

    async def smtp_DATA(self, argument: str) -> None:
        """RFC 5321 §4.1.1.4."""
        if argument:
            await self.mistake(_NO_ARGUMENT, "DATA")
            return
        if self._envelope is None:
            await self.mistake(_MAIL_FIRST, "DATA")
            return
        if not self._accepted:
            await self.mistake(_NO_RECIPIENTS, "DATA")
            return
        self.decider.data_begins()
        self.reply(_GO_AHEAD)
        await self.flush()
        try:
            arrived = await receive_content(self)
        except ContentFault as fault:
            self._forget()
            self._errors += 1
            self.decider.error(self.facts, fault.reply, fault.reason)
            if fault.fatal:
                self.reply(fault.reply)
                raise Hangup(fault.reason) from None
            await self._penalty(fault.reply)
            return
        self.clear_deadline()
        reply = await self._hand_over(arrived)
        if self._granted(reply):
            self._errors = self._junk = self._spared = 0
        else:
            await self._refuse(reply)

    async def _hand_over(self, arrived: Arrived) -> Reply:
        self.committing = True
        try:
            return await self.decider.message(self.facts, arrived.content())
        finally:
            self.committing = False
            self._forget()
            await arrived.discard()  # unless the queue has it now: it may have taken another writing of the message

    async def smtp_RSET(self, argument: str) -> None:
        """RFC 5321 §4.1.1.5."""
        if argument:
            await self.mistake(_NO_ARGUMENT, "RSET")
            return
        self._forget()
        await self._idle(_OK)

    async def smtp_NOOP(self, argument: str) -> None:
        """RFC 5321 §4.1.1.9; the argument is ignored."""
        await self._idle(_OK)

    async def smtp_HELP(self, argument: str) -> None:
        """RFC 5321 §4.1.1.8."""
        await self._idle(Reply(214, "2.0.0", ("See RFC 5321",)))

    async def smtp_VRFY(self, argument: str) -> None:
        """RFC 5321 §7.3: nothing is given away."""
        if argument:
            await self._idle(_VERIFY)
        else:
            await self.mistake(_NEEDS_ARGUMENT, "VRFY")

    async def smtp_EXPN(self, argument: str) -> None:
        """Not offered."""
        await self.mistake(_NOT_OFFERED, "EXPN")

    async def smtp_AUTH(self, argument: str) -> None:
        """Not offered: a peer is identified by network or certificate."""
        await self.mistake(_NOT_OFFERED, "AUTH")

    async def smtp_QUIT(self, argument: str) -> None:
        """RFC 5321 §4.1.1.10."""
        if argument:
            await self.mistake(_NO_ARGUMENT, "QUIT")
            return
        self._said_goodbye = True
        self.reply(_BYE)
        raise Hangup("")
