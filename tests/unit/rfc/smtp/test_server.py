"""The server without a socket: whole dialogues, however they are cut, and what no client can bring about."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.errors import LocalProtocolError
from mta.model.reply import Reply
from mta.rfc.smtp import server_events as events
from mta.rfc.smtp.proxy import SIGNATURE
from mta.rfc.smtp.server import SmtpServer
from mta.rfc.smtp.server_replies import CROWDED, NO_STORAGE
from mta.rfc.smtp.server_state import LAST_OF_GROUP, State
from mta.rfc.smtp.server_terms import Terms
from tests.support.smtp_machine import HOSTNAME, KEPT, YES, Conversation, octets

TERMS = Terms(HOSTNAME, message_size=4000, line_length=200, command_length=100, soft_errors=3, hard_errors=7)
BODY = b"Subject: x\r\n\r\n..dot\r\nbody\r\n"
GROUP = b"MAIL FROM:<a@fabrikam.example>\r\nRCPT TO:<b@contoso.example>\r\nDATA\r\n"

LINES = [
    b"EHLO client.example\r\n",
    b"HELO client.example\r\n",
    b"EHLO two words\r\n",
    b"MAIL FROM:<a@fabrikam.example> SIZE=100 BODY=8BITMIME\r\n",
    b"MAIL FROM:<>\r\n",
    b"MAIL FROM:<no@fabrikam.example>\r\n",
    b"MAIL FROM:<a@fabrikam.example> SIZE=4001\r\n",
    b"MAIL FROM:<\xc3\xa4@fabrikam.example> SMTPUTF8\r\n",
    b"RCPT TO:<b@contoso.example> NOTIFY=NEVER\r\n",
    b"RCPT TO:<\xc3\xb6@contoso.example>\r\n",
    b"RCPT TO:<no@contoso.example>\r\n",
    b"RCPT TO:<full@contoso.example>\r\n",
    b"RCPT TO:<b\r\n",
    b"DATA\r\n",
    b"RSET\r\n",
    b"NOOP and more\r\n",
    b"HELP\r\n",
    b"VRFY b\r\n",
    b"AUTH PLAIN\r\n",
    b"BOGUS\r\n",
    b"NOOP " + b"x" * 200 + b"\r\n",
    b"NOOP " + b"x" * 200 + b"\n",
    b"NOOP\n",
    b"NOOP\rNOOP\r\n",
    b"NOOP \xff\r\n",
    b"GET / HTTP/1.1\r\n",
    b"QUIT\r\n",
]
CONTENTS = [
    b"Subject: later\r\n\r\n..\r\n.\r\n",
    b"Subject: x\r\n\r\nbody\r\n.\r\n",
    b".\r\n",
    b"Subject: x\r\n\r\nbare\n.\r\nMAIL FROM:<evil@fabrikam.example>\r\n.\r\n",
    b"Subject: x\r\n\r\nlong " + b"y" * 300 + b"\r\n.\r\n",
    (b"z" * 98 + b"\r\n") * 41 + b".\r\n",
    b"nul \0\r\n.\r\n",
    b"\r.\r\n.\n.\r\n.\r\n",
]
MESSAGES = [GROUP + content for content in CONTENTS]
dialogues = st.lists(st.sampled_from([LINES[0], *LINES, *MESSAGES, *MESSAGES, *CONTENTS]), max_size=14)


def outcome(terms: Terms, pieces: list[bytes], *, starttls: bool = False) -> tuple[object, ...]:
    one = Conversation(terms, starttls=starttls).hear(pieces)
    return one.told, one.said, one.contents, one.server.state


@given(dialogues, st.data())
def test_a_dialogue_is_the_same_however_it_is_cut(lines: list[bytes], data: st.DataObject) -> None:
    terms = replace(TERMS, forbid_early_talkers=False)  # else it matters what arrives together
    wire = b"".join(lines)
    whole = outcome(terms, [wire])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert outcome(terms, octets(wire)) == whole
    assert outcome(terms, pieces) == whole


def groups(lines: list[bytes]) -> list[bytes]:
    """What an honest client sends at once: up to each command whose reply it must wait for."""
    found = [b""]
    for line in b"".join(lines).splitlines(keepends=True):
        found[-1] += line
        if line.split(b" ")[0].strip().decode("latin-1") in LAST_OF_GROUP:
            found.append(b"")
    return found


@given(st.lists(st.sampled_from([LINES[0], b"STARTTLS\r\n", *LINES, *MESSAGES]), max_size=14))
def test_so_is_one_in_groups_with_tls_and_without_early_talkers(lines: list[bytes]) -> None:
    pieces = groups(lines)
    assert outcome(TERMS, pieces, starttls=True) == outcome(TERMS, octets(b"".join(pieces)), starttls=True)


@given(st.lists(st.sampled_from([*LINES, *CONTENTS]) | st.binary(max_size=6), max_size=14))
def test_no_client_can_raise_anything(pieces: list[bytes]) -> None:
    one = Conversation(TERMS, starttls=True).hear(pieces)
    assert one.codes[0] == 220
    assert one.ended == (one.server.state is State.CLOSED)


def test_a_conversation_from_greeting_to_goodbye() -> None:
    one = Conversation().hear([b"EHLO client.example\r\n", GROUP, BODY + b".\r\n", b"QUIT\r\n"])
    assert one.codes == [220, 250, 250, 250, 354, 250, 221]
    assert [type(event) for event in one.told] == [
        events.Opened,
        events.Hello,
        events.Mail,
        events.Rcpt,
        events.ContentBegins,
        events.MessageComplete,
        events.Ended,
    ]
    assert one.contents == [b"Subject: x\r\n\r\n.dot\r\nbody\r\n"]
    assert one.told[-1] == events.Ended("")


def test_replies_to_a_group_gather_until_they_are_taken() -> None:
    one = Conversation().hear([b"EHLO client.example\r\n"])
    one.server.receive_data(GROUP)
    for answered in (events.Mail, events.Rcpt):
        assert isinstance(one.server.next_event(), answered)
        assert one.server.next_event() is None  # the answer comes first
        one.server.answer(YES)
    assert one.server.next_event() == events.ContentBegins()
    assert [line[:3] for line in one.server.data_to_send().splitlines()] == [b"250", b"250", b"354"]
    assert one.server.data_to_send() == b""


def test_content_is_told_piece_by_piece_and_counted_as_it_travels() -> None:
    one = Conversation().hear([b"EHLO client.example\r\n", GROUP])
    one.server.receive_data(b"..a\r\nb")
    assert one.server.next_event() == events.Piece(b".a\r\nb")
    assert one.server.received == 6
    one.server.receive_data(b"\r\n.")
    assert one.server.next_event() == events.Piece(b"")  # told all the same: the client has not been idle
    one.server.receive_data(b"\r\nNOOP\r\n")
    assert one.server.next_event() == events.MessageComplete(b"\r\n", verbatim=False)
    one.server.answer(KEPT)
    assert one.server.next_event() == events.Answered()


def test_a_complete_message_that_cannot_be_kept_is_an_error_with_that_reply() -> None:
    one = Conversation().hear([b"EHLO client.example\r\n", GROUP])
    one.server.receive_data(b".\r\n")
    assert isinstance(one.server.next_event(), events.MessageComplete)
    one.server.refuse_content(NO_STORAGE, "disk full")
    assert one.server.next_event() == events.TransactionReset()
    assert one.server.next_event() == events.Mistake(NO_STORAGE, "disk full")
    assert one.server.data_to_send() == NO_STORAGE.render()
    assert one.say(b"RCPT TO:<b@contoso.example>") == 503


@pytest.mark.parametrize("fault", [b"bare\nLF", b"bare\rCR", b"NUL\0"])
def test_nothing_is_believed_behind_content_that_two_readers_may_read_differently(fault: bytes) -> None:
    one = Conversation().hear([b"EHLO client.example\r\n", GROUP, fault + b"\r\n.\r\nNOOP\r\n"])
    assert one.codes[-1] == 550
    assert one.ended
    assert not one.contents


def test_errors_are_delayed_from_the_soft_limit_on_and_end_the_session_at_the_hard_one() -> None:
    one = Conversation(TERMS)
    assert [one.say(b"BOGUS") for _ in range(6)] == [500] * 6
    delays = [event for event in one.told if isinstance(event, events.Delay)]
    assert delays == [events.Delay(1.0)] * 4
    one.hear([b"BOGUS\r\nNOOP\r\n"])
    assert one.codes[-2:] == [500, 421]
    assert one.told[-1] == events.Ended("too many errors")


def test_a_message_that_was_taken_clears_the_counts_of_errors_and_one_that_was_not_does_not() -> None:
    one = Conversation(replace(TERMS, hard_errors=4, soft_errors=99)).hear([b"EHLO client.example\r\n"])
    for _ in range(3):
        assert [one.say(b"BOGUS"), one.say(b"BOGUS"), one.say(b"BOGUS")] == [500] * 3
        assert one.hear([GROUP, b"Subject: x\r\n\r\n.\r\n"]).codes[-1] == 250
    assert one.say(b"BOGUS") == 500
    assert one.hear([GROUP, b"Subject: later\r\n\r\n.\r\n"]).codes[-1] == 451
    assert one.hear([b"BOGUS\r\nBOGUS\r\n"]).codes[-3:] == [500, 500, 421]


@pytest.mark.parametrize(("said", "code"), [(b"", 553), (b" SMTPUTF8", 250)])
def test_an_address_beyond_ascii_needs_smtputf8_in_mail(said: bytes, code: int) -> None:
    one = Conversation().hear([b"EHLO client.example\r\n", b"MAIL FROM:<a@fabrikam.example>" + said + b"\r\n"])
    assert one.say("RCPT TO:<\u00f6@contoso.example>".encode()) == code


def test_who_talks_before_the_greeting_is_not_greeted() -> None:
    server = SmtpServer(TERMS)
    server.receive_data(b"EHLO client.example\r\n")
    server.begin()
    assert server.next_event() == events.Opened()
    server.greet()
    assert server.next_event() == events.Ended("talked before the greeting")
    assert server.data_to_send().startswith(b"554 ")


@pytest.mark.parametrize("slowly", [True, False])
def test_the_balancers_header_then_tls_then_the_greeting(slowly: bool) -> None:
    header = SIGNATURE + b"\x21\x11\0\x0c" + bytes([192, 0, 2, 7, 192, 0, 2, 25, 1, 0, 0, 25])
    server = SmtpServer(TERMS, implicit_tls=True)
    server.begin(proxied=True)
    for piece in octets(header) if slowly else [header]:
        assert server.next_event() is None
        server.receive_data(piece)
    server.receive_data(b"\x16\x03\x01")
    assert server.next_event() == events.Proxied(ip_address("192.0.2.7"), 256)
    assert server.next_event() == events.TlsWanted()
    assert server.next_event() is None
    assert server.take_all() == b"\x16\x03\x01"
    server.tls_established()
    assert server.next_event() == events.Opened()
    server.greet()
    assert server.secure
    assert server.data_to_send() == f"220 {HOSTNAME} ESMTP\r\n".encode()


def test_a_balancer_that_says_something_else_is_left_without_a_word() -> None:
    server = SmtpServer(TERMS)
    server.begin(proxied=True)
    server.receive_data(b"EHLO client.example\r\n")
    event = server.next_event()
    assert isinstance(event, events.Ended)
    assert event.reason.startswith("PROXY: ")
    assert server.data_to_send() == b""


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("behind", [b"EHLO x\r\n", b"x"])
def test_octets_behind_starttls_end_it_without_a_word(strict: bool, behind: bytes) -> None:
    one = Conversation(replace(TERMS, forbid_early_talkers=strict), starttls=True)
    one.hear([b"EHLO client.example\r\n", b"STARTTLS\r\n" + behind])
    assert one.codes == [220, 250]
    assert one.told[-1] == events.Ended("bytes behind STARTTLS")


def test_tls_forgets_what_was_said_in_clear() -> None:
    one = Conversation(TERMS, starttls=True)
    one.hear([b"EHLO client.example\r\n", b"MAIL FROM:<a@fabrikam.example>\r\n"])
    assert b"STARTTLS" in one.said
    assert one.say(b"STARTTLS") == 220
    assert [one.say(line) for line in (b"MAIL FROM:<>", b"RCPT TO:<b@contoso.example>", b"DATA")] == [503] * 3
    said = len(one.said)
    assert one.say(b"EHLO client.example") == 250
    assert b"STARTTLS" not in one.said[said:]
    assert b"REQUIRETLS" in one.said[said:]
    assert one.say(b"MAIL FROM:<a@fabrikam.example> REQUIRETLS") == 250
    assert one.envelopes[-1].tls == "required"


def test_after_the_last_word_nothing_is_read_told_or_said() -> None:
    one = Conversation().hear([b"EHLO client.example\r\n", GROUP])
    server = one.server
    server.receive_data(b"Subject: x\r\n\r\n.\r\n")
    server.close(CROWDED)
    server.close(Reply(421))
    assert server.data_to_send() == CROWDED.render()
    assert server.receive_data(b".\r\n") == 0
    assert server.next_event() is None
    server.answer(YES)
    server.tls_established()
    assert server.data_to_send() == b""


@pytest.mark.parametrize(
    "call", [SmtpServer.greet, SmtpServer.tls_established, lambda s: s.answer(YES), lambda s: s.refuse_content(YES, "")]
)
def test_what_was_not_asked_is_a_defect_of_ours(call) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(LocalProtocolError):
        call(Conversation().server)
