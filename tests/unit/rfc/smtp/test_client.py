"""The client against a small server in memory: each state, each way a server can go wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.errors import LocalProtocolError, RemoteProtocolError
from mta.model.address import Mailbox
from mta.model.envelope import Envelope, Recipient
from mta.model.reply import Reply
from mta.ports import TransactionReplies
from mta.rfc.smtp import sasl
from mta.rfc.smtp.client import SmtpClient
from mta.rfc.smtp.client_events import Answered, ClientEvent, ContentWanted, Finished
from mta.rfc.smtp.next_hop import Cargo

SENDER = Mailbox("a", "a.example", "a.example")
CARGO = Cargo(11)
BODY = b"Subject: x\r\n\r\n.dot\r\n"
MAIL, DATA = b"MAIL FROM:<a@a.example>\r\n", b"DATA\r\n"
OK = Reply(250, "", ("ok",))


def envelope(count: int = 1, local: str = "r") -> Envelope:
    return Envelope(SENDER, tuple(Recipient(Mailbox(f"{local}{n}", "b.example", "b.example")) for n in range(count)))


def rcpt(n: int) -> bytes:
    return f"RCPT TO:<r{n}@b.example>\r\n".encode()


def ready(*extensions: str, implicit_tls: bool = False) -> SmtpClient:
    """A client that has said EHLO to a hop with these extensions."""
    client = SmtpClient(implicit_tls=implicit_tls)
    client.receive_data(b"220 mx ESMTP\r\n")
    client.next_event()
    client.ehlo("me.example")
    lines = ["mx", *extensions]
    client.receive_data("".join(f"250{'-' if n < len(lines) else ' '}{x}\r\n" for n, x in enumerate(lines, 1)).encode())
    assert isinstance(client.next_event(), Answered)
    client.data_to_send()
    return client


def pipelined(count: int = 1) -> SmtpClient:
    client = ready("PIPELINING")
    client.begin(envelope(count), CARGO)
    client.data_to_send()
    return client


def finish(client: SmtpClient) -> TransactionReplies:
    event = client.next_event()
    assert isinstance(event, Finished), event
    return event.replies


def test_greeting_and_ehlo_come_first() -> None:
    client = SmtpClient()
    assert client.phase == "greeting"
    client.receive_data(b"220 mx ESMTP\r\n")
    assert client.next_event() == Answered("greeting", Reply(220, "", ("mx ESMTP",)))
    client.ehlo("me.example")
    assert client.data_to_send() == b"EHLO me.example\r\n"
    assert client.phase == "helo"
    client.receive_data(b"250-mx\r\n250-PIPELINING\r\n250 SIZE 5\r\n")
    client.next_event()
    assert client.usable
    assert client.capabilities.size == 5
    assert client.phase == ""


@pytest.mark.parametrize("greeting", [b"554 no\r\n", b"421 busy\r\n", b"450 later\r\n"])
def test_a_refused_greeting_is_told_and_nothing_but_quit_may_follow(greeting: bytes) -> None:
    client = SmtpClient()
    client.receive_data(greeting)
    event = client.next_event()
    assert isinstance(event, Answered)
    assert event.reply.code == int(greeting[:3])
    with pytest.raises((LocalProtocolError, RemoteProtocolError)):
        client.ehlo("me")


def test_helo_is_said_where_ehlo_is_refused_and_no_extension_survives() -> None:
    client = ready("PIPELINING", "SIZE 9")
    client.ehlo("me")
    client.receive_data(b"502 what\r\n")
    assert client.next_event() is None
    assert client.data_to_send() == b"EHLO me\r\nHELO me\r\n"
    client.receive_data(b"250-mx\r\n250 SIZE 7\r\n")
    assert client.next_event() == Answered("helo", Reply(250, "", ("mx", "SIZE 7")))
    assert client.capabilities.extensions == {}


def test_a_temporary_refusal_of_ehlo_is_told_and_helo_is_not_tried() -> None:
    client = ready()
    client.ehlo("me")
    client.receive_data(b"451 later\r\n")
    event = client.next_event()
    assert isinstance(event, Answered)
    assert event.reply.code == 451
    assert client.data_to_send() == b"EHLO me\r\n"


@pytest.mark.parametrize("name", ["", "a b", "a\r\nMAIL", "ü", "a\0"])
def test_a_name_that_breaks_the_line_is_our_fault(name: str) -> None:
    client = SmtpClient()
    client.receive_data(b"220 mx\r\n")
    with pytest.raises(LocalProtocolError):
        client.ehlo(name)


# --- STARTTLS -------------------------------------------------------------------------------------------------------


def test_tls_makes_the_client_forget_what_it_heard_in_clear() -> None:
    client = ready("STARTTLS", "SIZE 5")
    client.starttls()
    assert client.data_to_send() == b"STARTTLS\r\n"
    client.receive_data(b"220 go\r\n")
    assert client.next_event() == Answered("starttls", Reply(220, "", ("go",)))
    client.tls_established()
    assert client.secure
    assert client.capabilities.extensions == {}
    with pytest.raises(LocalProtocolError):
        client.begin(envelope(), CARGO)
    client.ehlo("me")
    with pytest.raises(LocalProtocolError):
        client.starttls()


@pytest.mark.parametrize(
    "injected", [b"220 go\r\n250 mx\r\n", b"220 go\r\n2", b"220 go\r\nx\r\n", b"220 go\r\n250-a\r\n"]
)
def test_octets_behind_the_220_to_starttls_break_the_session_before_any_handshake(injected: bytes) -> None:
    client = ready("STARTTLS")
    client.starttls()
    client.receive_data(injected)
    with pytest.raises(RemoteProtocolError):
        client.next_event()


@pytest.mark.parametrize("octets", [b"250 mx\r\n", b"421 bye\r\n", b"\x16\x03\n"])
def test_octets_in_clear_while_the_handshake_is_awaited_break_the_session(octets: bytes) -> None:
    client = ready("STARTTLS")
    client.starttls()
    client.receive_data(b"220 go\r\n")
    client.next_event()
    client.receive_data(octets)
    with pytest.raises(RemoteProtocolError):
        client.next_event()


def test_a_refused_starttls_leaves_the_connection_clear_and_usable() -> None:
    client = ready("STARTTLS")
    client.starttls()
    client.receive_data(b"454 4.7.0 not now\r\n")
    event = client.next_event()
    assert isinstance(event, Answered)
    assert event.reply.code == 454
    assert client.usable
    assert not client.secure


# --- AUTH -----------------------------------------------------------------------------------------------------------


def test_auth_plain_sends_its_secret_in_one_line() -> None:
    client = ready("AUTH PLAIN", implicit_tls=True)
    client.authenticate(sasl.plain("user", "pass"))
    assert client.data_to_send() == b"AUTH PLAIN AHVzZXIAcGFzcw==\r\n"
    client.receive_data(b"235 2.7.0 in\r\n")
    assert client.next_event() == Answered("auth", Reply(235, "2.7.0", ("in",)))


def test_auth_login_answers_two_prompts() -> None:
    client = ready("AUTH LOGIN", implicit_tls=True)
    client.authenticate(sasl.login("user", "pass"))
    assert client.data_to_send() == b"AUTH LOGIN\r\n"
    client.receive_data(b"334 VXNlcm5hbWU6\r\n")
    assert client.data_to_send() == b"dXNlcg==\r\n"
    client.receive_data(b"334 UGFzc3dvcmQ6\r\n")
    assert client.data_to_send() == b"cGFzcw==\r\n"
    client.receive_data(b"535 5.7.8 wrong\r\n")
    assert client.next_event() == Answered("auth", Reply(535, "5.7.8", ("wrong",)))
    assert client.usable


def test_no_password_leaves_in_clear() -> None:
    client = ready("AUTH PLAIN LOGIN")
    for exchange in (sasl.plain("u", "p"), sasl.login("u", "p"), sasl.bearer("XOAUTH2", "u", "t", "h", 25)):
        with pytest.raises(LocalProtocolError):
            client.authenticate(exchange)
    assert client.data_to_send() == b""


# --- transactions ---------------------------------------------------------------------------------------------------


def test_with_pipelining_the_whole_group_is_said_at_once() -> None:
    client = ready("PIPELINING", "SIZE")
    client.begin(envelope(2), CARGO)
    assert client.data_to_send() == b"MAIL FROM:<a@a.example> SIZE=11\r\n" + rcpt(0) + rcpt(1) + DATA
    assert client.phase == "mail"
    client.receive_data(b"250 ok\r\n")
    assert client.phase == "rcpt"
    client.receive_data(b"250 ok\r\n550 no\r\n")
    assert client.phase == "data_init"
    client.receive_data(b"354 go\r\n")
    assert client.next_event() == ContentWanted()
    assert client.phase == "data_block"
    assert client.content(BODY, last=True) == b"Subject: x\r\n\r\n..dot\r\n.\r\n"
    assert client.phase == "data_final"
    client.receive_data(b"250 ok\r\n")
    assert finish(client) == TransactionReplies(OK, (OK, Reply(550, "", ("no",))), OK)
    assert client.usable


@pytest.mark.parametrize("verbatim", [False, True])
def test_a_message_in_memory_is_sent_in_one_piece(verbatim: bool) -> None:
    client = ready("PIPELINING")
    client.begin(envelope(1), CARGO)
    client.receive_data(b"250 ok\r\n250 ok\r\n354 go\r\n")
    assert client.next_event() == ContentWanted()
    prefix, content = b"Received: by us\r\n", b"Subject: x\r\n\r\n" + (b"no dot\r\n" if verbatim else b".dot\n")
    sent = client.whole_content(prefix, content, verbatim=verbatim)
    assert sent == prefix + b"Subject: x\r\n\r\n" + (b"no dot" if verbatim else b"..dot") + b"\r\n.\r\n"
    assert client.phase == "data_final"
    client.receive_data(b"250 ok\r\n")
    assert finish(client).data == OK


def test_without_pipelining_each_command_waits_for_its_reply() -> None:
    client = ready()
    client.begin(envelope(2), CARGO)
    for line, reply in ((MAIL, b"250 ok\r\n"), (rcpt(0), b"550 no\r\n"), (rcpt(1), b"250 ok\r\n")):
        assert client.data_to_send() == line
        client.receive_data(reply)
    assert client.data_to_send() == DATA
    client.receive_data(b"354 go\r\n")
    assert client.next_event() == ContentWanted()
    assert client.content(b"a", b"b\r\n") + client.content(b".", last=True) == b"ab\r\n..\r\n.\r\n"
    client.receive_data(b"250 ok\r\n")
    assert finish(client).data == OK


def test_without_pipelining_a_refused_mail_ends_the_transaction() -> None:
    client = ready()
    client.begin(envelope(), CARGO)
    client.data_to_send()
    client.receive_data(b"550 no\r\n")
    assert finish(client) == TransactionReplies(Reply(550, "", ("no",)))
    client.begin(envelope(), CARGO)
    assert client.data_to_send() == MAIL


def test_without_pipelining_data_is_not_said_when_no_recipient_was_taken_and_rset_comes_before_the_next_mail() -> None:
    client = ready()
    client.begin(envelope(), CARGO)
    client.receive_data(b"250 ok\r\n")
    client.receive_data(b"550 no\r\n")
    assert finish(client).data is None
    assert client.data_to_send() == MAIL + rcpt(0)
    client.begin(envelope(), CARGO)
    assert client.data_to_send() == b"RSET\r\n"
    client.receive_data(b"250 ok\r\n")
    assert client.data_to_send() == MAIL


def test_data_refused_after_recipients_were_taken() -> None:
    client = pipelined(2)
    client.receive_data(b"250 ok\r\n250 ok\r\n250 ok\r\n451 4.3.0 later\r\n")
    assert finish(client) == TransactionReplies(OK, (OK, OK), Reply(451, "4.3.0", ("later",)))
    client.begin(envelope(), CARGO)
    assert client.data_to_send().startswith(b"RSET\r\nMAIL")
    client.receive_data(b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n")
    assert client.next_event() == ContentWanted()


def test_a_lone_dot_is_sent_where_354_comes_though_every_recipient_was_refused() -> None:
    client = pipelined(2)
    client.receive_data(b"250 ok\r\n550 no\r\n550 no\r\n354 go\r\n")
    assert client.next_event() is None
    assert client.data_to_send() == b".\r\n"
    assert client.phase == "data_final"
    client.receive_data(b"250 taken\r\n")  # even so, nothing was delivered
    replies = finish(client)
    assert replies.data is None
    assert [r.code for r in replies.recipients] == [550, 550]
    client.begin(envelope(), CARGO)
    assert client.data_to_send().startswith(MAIL)


def test_a_refused_mail_refuses_all_that_was_pipelined_behind_it() -> None:
    client = pipelined(1)
    client.receive_data(b"552 too big\r\n503 no\r\n503 no\r\n")
    assert finish(client) == TransactionReplies(Reply(552, "", ("too big",)))
    assert client.usable


def test_a_recipient_that_the_hop_cannot_name_is_refused_by_us_and_the_others_go() -> None:
    client = ready("PIPELINING")
    mixed = Envelope(SENDER, (Recipient(Mailbox("ü", "b.example", "b.example")), envelope().recipients[0]))
    client.begin(mixed, CARGO)
    assert client.data_to_send() == MAIL + rcpt(0) + DATA
    client.receive_data(b"250 ok\r\n250 ok\r\n354 go\r\n")
    assert client.next_event() == ContentWanted()
    client.content(BODY, last=True)
    client.receive_data(b"250 ok\r\n")
    assert [r.code for r in finish(client).recipients] == [553, 250]


def test_a_transaction_whose_recipients_cannot_be_named_says_nothing() -> None:
    client = ready("PIPELINING")
    client.begin(envelope(local="ü"), CARGO)
    assert client.data_to_send() == b""
    assert finish(client).mail.status == "5.6.7"
    assert client.usable


def test_a_probe_asks_and_resets() -> None:
    client = ready("PIPELINING")
    client.probe(envelope())
    assert client.data_to_send() == MAIL + rcpt(0) + b"RSET\r\n"
    client.receive_data(b"250 ok\r\n550 no\r\n250 ok\r\n")
    assert finish(client) == TransactionReplies(OK, (Reply(550, "", ("no",)),))
    client.begin(envelope(), CARGO)
    assert client.data_to_send().startswith(MAIL)


def test_a_probe_without_pipelining_goes_step_by_step() -> None:
    client = ready()
    client.probe(envelope())
    said = b""
    for reply in (b"250 ok\r\n", b"250 ok\r\n", b"250 ok\r\n"):
        said += client.data_to_send()
        client.receive_data(reply)
    assert said == MAIL + rcpt(0) + b"RSET\r\n"
    assert finish(client).recipients == (OK,)


# --- 421, early and unasked replies ---------------------------------------------------------------------------------

GOODBYE = Reply(421, "4.3.2", ("bye",))


@pytest.mark.parametrize(
    ("before", "replies"),
    [
        (b"", TransactionReplies(GOODBYE)),
        (b"250 ok\r\n", TransactionReplies(OK, (GOODBYE, GOODBYE))),
        (b"250 ok\r\n250 ok\r\n", TransactionReplies(OK, (OK, GOODBYE), GOODBYE)),
        (b"250 ok\r\n250 ok\r\n250 ok\r\n", TransactionReplies(OK, (OK, OK), GOODBYE)),
        (b"250 ok\r\n550 ok\r\n550 ok\r\n", TransactionReplies(OK, (Reply(550, "", ("ok",)),) * 2)),
    ],
)
def test_421_answers_all_that_is_open_and_closes(before: bytes, replies: TransactionReplies) -> None:
    client = pipelined(2)
    client.receive_data(before + b"421 4.3.2 bye\r\n")
    assert finish(client) == replies
    assert not client.usable
    with pytest.raises(RemoteProtocolError, match="bye"):
        client.begin(envelope(), CARGO)


@pytest.mark.parametrize("early", [b"552 5.3.4 too big\r\n", b"421 4.3.2 bye\r\n", b"451 4.3.0 later\r\n"])
def test_a_refusal_in_the_middle_of_the_content_ends_it(early: bytes) -> None:
    client = pipelined()
    client.receive_data(b"250 ok\r\n250 ok\r\n354 go\r\n")
    client.next_event()
    client.content(BODY)
    client.receive_data(early[:4])
    client.content(BODY)  # half a reply is no reason to stop
    client.receive_data(early[4:])
    data = finish(client).data
    assert data is not None
    assert data.code == int(early[:3])
    assert not client.usable


def test_success_in_the_middle_of_the_content_is_no_success() -> None:
    client = pipelined()
    client.receive_data(b"250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n")
    assert client.next_event() == ContentWanted()
    with pytest.raises(RemoteProtocolError):
        client.next_event()


@pytest.mark.parametrize("octets", [b"250 hello\r\n", b"2", b"421 idle too long\r\n", b"what\r\n"])
def test_octets_that_nothing_asked_for_make_an_idle_connection_unusable(octets: bytes) -> None:
    client = ready("PIPELINING")
    client.receive_data(octets)
    assert not client.usable
    with pytest.raises(RemoteProtocolError):
        client.begin(envelope(), CARGO)


def test_a_final_reply_is_told_before_the_garbage_behind_it() -> None:
    client = pipelined()
    client.receive_data(b"250 ok\r\n250 ok\r\n354 go\r\n")
    client.next_event()
    client.content(BODY, last=True)
    client.receive_data(b"250 ok\r\n<html>\r\n")
    assert finish(client).data == OK
    with pytest.raises(RemoteProtocolError):
        client.next_event()


def test_an_error_names_the_phase_in_which_it_happened() -> None:
    client = pipelined()
    client.receive_data(b"250 ok\r\n250 ok\r\n354 go\r\n")
    client.next_event()
    client.content(BODY, last=True)
    client.receive_data(b"?\r\n")
    with pytest.raises(RemoteProtocolError) as caught:
        client.next_event()
    assert caught.value.phase == "data_final"


SAY: dict[str, Callable[[SmtpClient], object]] = {
    "starttls": lambda c: c.starttls(),
    "auth": lambda c: c.authenticate(sasl.plain("u", "p")),
    "ehlo": lambda c: c.ehlo("me"),
    "helo": lambda c: c.helo("me"),
    "mail": lambda c: c.begin(envelope(), CARGO),
}
WRONG = [
    ("starttls", b"354 go\r\n"),
    ("auth", b"334 go\r\n"),
    ("ehlo", b"354 go\r\n"),
    ("helo", b"334 go\r\n"),
    ("mail", b"354 go\r\n"),
    ("mail", b"250 ok\r\n354 go\r\n"),
    ("mail", b"250 ok\r\n250 ok\r\n250 go\r\n"),
]


@pytest.mark.parametrize(("command", "wire"), WRONG)
def test_a_reply_of_the_wrong_class_breaks_the_protocol(command: str, wire: bytes) -> None:
    client = ready("PIPELINING", implicit_tls=command == "auth")
    SAY[command](client)
    client.receive_data(wire)
    with pytest.raises(RemoteProtocolError):
        client.next_event()


@pytest.mark.parametrize("command", sorted(SAY))
def test_no_command_may_be_said_while_a_reply_is_awaited(command: str) -> None:
    client = ready("PIPELINING", implicit_tls=True)
    client.secure = command != "starttls"
    client.quit()
    with pytest.raises(LocalProtocolError):
        SAY[command](client)


@pytest.mark.parametrize("say", [lambda c: c.content(b"x"), lambda c: c.tls_established()])
def test_content_and_tls_have_their_time(say: Callable[[SmtpClient], object]) -> None:
    with pytest.raises(LocalProtocolError):
        say(ready("PIPELINING"))


def test_quit_closes() -> None:
    client = ready()
    client.quit()
    assert client.phase == "quit"
    client.receive_data(b"221 bye\r\n")
    assert client.next_event() == Answered("quit", Reply(221, "", ("bye",)))
    assert not client.usable


# --- any octets -----------------------------------------------------------------------------------------------------

soup = st.lists(
    st.sampled_from(
        [
            b"220 mx\r\n",
            b"250 ok\r\n",
            b"250-mx\r\n250 PIPELINING\r\n",
            b"354 go\r\n",
            b"550 5.1.1 no\r\n",
            b"421 bye\r\n",
            b"221 bye\r\n",
            b"\r\n",
            b"250-",
            b"\x00",
            b"334 \r\n",
        ]
    )
    | st.binary(max_size=4),
    max_size=14,
).map(b"".join)


def drive(pieces: list[bytes]) -> tuple[list[ClientEvent], bytes, str]:
    """A whole life: greeting, EHLO, and transactions for as long as the peer plays along."""
    client, events, said = SmtpClient(), [], b""
    try:
        for piece in pieces:
            client.receive_data(piece)
            while (event := client.next_event()) is not None:
                events.append(event)
                if isinstance(event, ContentWanted):
                    said += client.content(BODY, last=True)
                elif isinstance(event, Answered) and event.command == "greeting" and event.reply.positive:
                    client.ehlo("me")
                elif client.usable:
                    client.begin(envelope(2), CARGO)
            said += client.data_to_send()
    except RemoteProtocolError as error:
        return events, said, str(error)
    return events, said, ""


@given(soup)
def test_any_octets_give_events_or_a_declared_error_and_no_others(wire: bytes) -> None:
    drive([b"220 mx\r\n", wire])


@given(st.lists(st.sampled_from([b"250 ok\r\n", b"354 go\r\n", b"550 5.1.1 no\r\n", b"421 bye\r\n"]), max_size=12))
def test_octet_by_octet_is_the_same_as_line_by_line(lines: list[bytes]) -> None:
    lines = [b"220 mx\r\n", b"250-mx\r\n250 PIPELINING\r\n", *lines]
    octets = [bytes([octet]) for octet in b"".join(lines)]
    whole, split = drive(lines), drive(octets)
    assert whole[0] == split[0]
    assert whole[1] == split[1]
    assert bool(whole[2]) == bool(split[2])
