"""The SMTP server without a socket, driven by decisions that stand in the addresses: `<no@…>` is refused, and so on."""

from __future__ import annotations

from collections.abc import Iterable

from mta.model.envelope import Envelope, Recipient
from mta.model.reply import Reply
from mta.rfc.smtp import server_events as events
from mta.rfc.smtp.server import SmtpServer
from mta.rfc.smtp.server_terms import Terms

HOSTNAME = "mx.contoso.example"
DECISIONS = {
    "no": Reply(550, "5.7.1", ("No",)),
    "later": Reply(451, "4.7.1", ("Later",)),
    "full": Reply(452, "4.5.3", ("Too many recipients",)),
}
YES = Reply(250, "2.1.0", ("Yes",))
KEPT = Reply(250, "2.0.0", ("Kept",))


class Conversation:
    """One client's. `told` are the events, of content only what became of it; `said` are the octets of our replies."""

    def __init__(self, terms: Terms | None = None, *, starttls: bool = False, proxied: bool = False) -> None:
        self.server = SmtpServer(terms or Terms(HOSTNAME), starttls=starttls)
        self.told: list[events.ServerEvent] = []
        self.said = b""
        self.contents: list[bytes] = []
        self.envelopes: list[Envelope] = []
        self.recipients: list[Recipient] = []
        self.ended = False
        self._content = b""
        self.server.begin(proxied=proxied)
        self.hear([])

    @property
    def codes(self) -> list[int]:
        """Of all replies so far."""
        lines = self.said.decode().splitlines()
        return [int(line[:3]) for line in lines if line[3:4] != "-"]

    def hear(self, pieces: Iterable[bytes]) -> Conversation:
        """The client says this, in these pieces."""
        self._work()
        for piece in pieces:
            self.server.receive_data(piece)
            self._work()
        return self

    def say(self, line: bytes) -> int:
        """One command, and the code of its reply."""
        before = len(self.codes)
        self.hear([line + b"\r\n"])
        [code] = self.codes[before:]
        return code

    def _work(self) -> None:
        while not self.ended and (event := self.server.next_event()) is not None:
            self._act(event)
        self.said += self.server.data_to_send()

    def _act(self, event: events.ServerEvent) -> None:
        if isinstance(event, events.Piece):
            self._content += event.data
            return
        if isinstance(event, events.MessageComplete):
            content, self._content = self._content + event.data, b""
            self.contents.append(content)
            self.told.append(events.MessageComplete(content, event.verbatim))
            self.server.answer(DECISIONS["later"] if content.startswith(b"Subject: later") else KEPT)
            return
        self.told.append(event)
        if isinstance(event, (events.TransactionReset, events.Hello, events.TlsWanted)):
            self._content = b""
        if isinstance(event, events.Opened):
            self.server.greet()
        elif isinstance(event, events.TlsWanted):
            self.server.tls_established()
        elif isinstance(event, events.Mail):
            self.envelopes.append(event.envelope)
            sender = event.envelope.sender
            self.server.answer(DECISIONS.get(sender.local if sender else "", YES))
        elif isinstance(event, events.Rcpt):
            self.recipients.append(event.recipient)
            self.server.answer(DECISIONS.get(event.recipient.mailbox.local, YES))
        elif isinstance(event, events.Ended):
            self.ended = True


def octets(data: bytes) -> list[bytes]:
    """Each a piece of its own."""
    return [data[place : place + 1] for place in range(len(data))]
