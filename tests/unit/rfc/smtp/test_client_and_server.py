"""Our client against our server, both without a socket: what one says the other understands, octet by octet too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.model.address import Mailbox
from mta.model.envelope import Envelope, Recipient
from mta.ports import TransactionReplies
from mta.rfc.smtp.client import SmtpClient
from mta.rfc.smtp.client_events import Answered, ContentWanted, Finished
from mta.rfc.smtp.next_hop import Cargo
from mta.rfc.smtp.server_state import State
from mta.rfc.smtp.server_terms import Terms
from tests.support.smtp_machine import DECISIONS, HOSTNAME, KEPT, YES, Conversation, octets

BODY = b"Subject: x\r\n\r\n.dot\r\n"


class Pair:
    """A client that has said EHLO to a server; what one sends the other hears, whole or octet by octet."""

    def __init__(self, *, slowly: bool, starttls: bool = False) -> None:
        self.slowly = slowly
        self.client = SmtpClient()
        self.conversation = Conversation(Terms(HOSTNAME, message_size=10_000, soft_errors=99), starttls=starttls)
        self.heard = 0
        self.exchange()
        assert isinstance(self.client.next_event(), Answered)
        self.client.ehlo("client.example")
        self.exchange()
        assert isinstance(self.client.next_event(), Answered)

    def _cut(self, data: bytes) -> list[bytes]:
        return octets(data) if self.slowly else [data]

    def exchange(self, more: bytes = b"") -> None:
        """Until nobody has anything to say; `more` is content that the client has given out."""
        while True:
            said = self.client.data_to_send() + more
            more = b""
            self.conversation.hear(self._cut(said))
            answer = self.conversation.said[self.heard :]
            self.heard = len(self.conversation.said)
            for piece in self._cut(answer):
                self.client.receive_data(piece)
            if not said and not answer:
                return

    def send(self, envelope: Envelope, body: bytes) -> TransactionReplies:
        """A whole transaction."""
        self.client.begin(envelope, Cargo(len(body)))
        self.exchange()
        event = self.client.next_event()
        if isinstance(event, ContentWanted):
            self.exchange(self.client.content(body, last=True))
            event = self.client.next_event()
        assert isinstance(event, Finished)
        assert self.client.next_event() is None
        return event.replies


def mailbox(local: str) -> Mailbox:
    return Mailbox(local, "x.example", "x.example")


@pytest.mark.parametrize("slowly", [True, False])
def test_two_messages_and_goodbye(slowly: bool) -> None:
    pair = Pair(slowly=slowly)
    envelope = Envelope(mailbox("a"), (Recipient(mailbox("b"), ("NEVER",)), Recipient(mailbox("c"))), ret="HDRS")
    for _ in range(2):
        assert pair.send(envelope, BODY) == TransactionReplies(YES, (YES, YES), KEPT)
    pair.client.quit()
    pair.exchange()
    assert pair.conversation.contents == [BODY, BODY]
    assert pair.conversation.recipients == [*envelope.recipients] * 2
    assert pair.conversation.envelopes[0].ret == "HDRS"
    assert pair.conversation.server.state is State.CLOSED


@pytest.mark.parametrize("slowly", [True, False])
def test_starttls(slowly: bool) -> None:
    pair = Pair(slowly=slowly, starttls=True)
    pair.client.starttls()
    pair.exchange()
    assert pair.client.next_event() is not None
    assert pair.conversation.server.secure
    pair.client.tls_established()
    pair.client.ehlo("client.example")
    pair.exchange()
    assert isinstance(pair.client.next_event(), Answered)
    assert "REQUIRETLS" in pair.client.capabilities
    required = Envelope(mailbox("a"), (Recipient(mailbox("b")),), tls="required")
    assert pair.send(required, BODY).data == KEPT
    assert pair.conversation.envelopes[-1].tls == "required"


@given(
    st.sampled_from(["a", "no", "later"]),
    st.lists(st.sampled_from(["b", "no", "full", "later"]), min_size=1, max_size=6),
    st.booleans(),
)
def test_each_decision_arrives_where_it_belongs(sender: str, recipients: list[str], slowly: bool) -> None:
    pair = Pair(slowly=slowly)
    envelope = Envelope(mailbox(sender), tuple(Recipient(mailbox(local)) for local in recipients))
    for _ in range(2):  # whatever became of the first, a second is understood
        replies = pair.send(envelope, BODY)
        assert replies.mail == DECISIONS.get(sender, YES)
        if sender == "a":
            assert replies.recipients == tuple(DECISIONS.get(local, YES) for local in recipients)
            assert replies.data == (KEPT if "b" in recipients else None)
    assert pair.conversation.contents == ([BODY, BODY] if sender == "a" and "b" in recipients else [])


line = st.sampled_from([b"", b".", b"..", b"text", b"\r\n.", b".\r\n"]) | st.text("ab. \u00e4").map(str.encode)


@given(st.lists(line), st.booleans())
def test_content_arrives_as_it_was(lines: list[bytes], slowly: bool) -> None:
    body = b"".join(one + b"\r\n" for one in lines)
    pair = Pair(slowly=slowly)
    assert pair.send(Envelope(mailbox("a"), (Recipient(mailbox("b")),), body="8BITMIME"), body).data == KEPT
    assert pair.conversation.contents == [body]
