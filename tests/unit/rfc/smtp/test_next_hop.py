"""What a hop can carry is decided by its EHLO reply; what it cannot is refused and never bent."""

from __future__ import annotations

import pytest

from mta.errors import LocalProtocolError
from mta.model.address import Mailbox
from mta.model.envelope import Envelope, Recipient
from mta.model.reply import Reply
from mta.ports import Capabilities
from mta.rfc.smtp.next_hop import (
    Cargo,
    can_carry,
    can_carry_recipient,
    mail_command,
    rcpt_command,
    read_capabilities,
)

A = Mailbox("a", "a.example", "a.example")
B = Recipient(Mailbox("b", "b.example", "b.example"))
U = Mailbox("ü", "b.example", "b.example")
IDN = Mailbox("b", "bücher.example", "xn--bcher-kva.example")
ALL = Capabilities({"SIZE": "1000", "8BITMIME": "", "SMTPUTF8": "", "DSN": ""})
NONE = Capabilities()
PROTECTING = Capabilities({"REQUIRETLS": ""})


def test_an_ehlo_reply_is_read_into_capabilities() -> None:
    reply = Reply(
        250, "", ("mx.example hello", "size 1000", "PIPELINING", "AUTH PLAIN LOGIN", "AUTH=LOGIN X", "-no", "")
    )
    capabilities = read_capabilities(reply)
    assert capabilities.extensions == {"SIZE": "1000", "PIPELINING": "", "AUTH": "PLAIN LOGIN LOGIN X"}
    assert capabilities.size == 1000


def test_requiretls_counts_inside_tls_only() -> None:
    reply = Reply(250, "", ("mx.example hello", "REQUIRETLS"))
    assert "REQUIRETLS" in read_capabilities(reply)
    assert "REQUIRETLS" not in read_capabilities(reply, secure=False)


@pytest.mark.parametrize(
    ("envelope", "cargo", "capabilities", "codes"),
    [
        (Envelope(A, (B,)), Cargo(1000), ALL, None),
        (Envelope(A, (B,)), Cargo(1001), ALL, (552, "5.3.4")),
        (Envelope(A, (B,)), Cargo(10**9), NONE, None),
        (Envelope(A, (B,)), Cargo(10**9), Capabilities({"SIZE": "0"}), None),
        (Envelope(A, (B,), body="8BITMIME"), Cargo(9), NONE, None),  # declared, and yet pure ASCII
        (Envelope(A, (B,), body="8BITMIME"), Cargo(9, True), NONE, (554, "5.6.3")),
        (Envelope(A, (B,)), Cargo(9, True), NONE, (554, "5.6.3")),
        (Envelope(A, (B,)), Cargo(9, True), ALL, None),
        (Envelope(A, (B,), smtputf8=True), Cargo(9), NONE, None),
        (Envelope(A, (B,), smtputf8=True), Cargo(9, True, True), NONE, (553, "5.6.7")),
        (Envelope(A, (B,), smtputf8=True), Cargo(9, True, True), ALL, None),
        (Envelope(U, (B,), smtputf8=True), Cargo(9), NONE, (553, "5.6.7")),
        (Envelope(IDN, (B,), smtputf8=True), Cargo(9), NONE, None),
    ],
)
def test_a_message_that_a_hop_cannot_carry_is_refused_in_our_words(
    envelope: Envelope, cargo: Cargo, capabilities: Capabilities, codes: tuple[int, str] | None
) -> None:
    reply = can_carry(envelope, cargo, capabilities)
    assert (reply and (reply.code, reply.enhanced)) == codes


def test_one_recipient_that_cannot_be_named_is_refused_alone() -> None:
    refused = can_carry_recipient(Recipient(U), NONE)
    assert refused is not None
    assert refused.status == "5.6.7"
    assert can_carry_recipient(Recipient(U), ALL) is None
    assert can_carry_recipient(Recipient(IDN), NONE) is None


DSN = Envelope(A, (B,), ret="HDRS", envid="QQ+3D1")


@pytest.mark.parametrize(
    ("envelope", "cargo", "capabilities", "line"),
    [
        (Envelope(None, (B,)), Cargo(9), NONE, b"MAIL FROM:<>\r\n"),
        (Envelope(A, (B,)), Cargo(9), ALL, b"MAIL FROM:<a@a.example> SIZE=9\r\n"),
        (Envelope(A, (B,)), Cargo(9, True), ALL, b"MAIL FROM:<a@a.example> SIZE=9 BODY=8BITMIME\r\n"),
        (DSN, Cargo(9), ALL, b"MAIL FROM:<a@a.example> SIZE=9 RET=HDRS ENVID=QQ+3D1\r\n"),
        (DSN, Cargo(9), NONE, b"MAIL FROM:<a@a.example>\r\n"),
        (Envelope(U, (B,)), Cargo(9), ALL, "MAIL FROM:<ü@b.example> SIZE=9 SMTPUTF8\r\n".encode()),
        (Envelope(A, (Recipient(U),)), Cargo(9), ALL, b"MAIL FROM:<a@a.example> SIZE=9 SMTPUTF8\r\n"),
        (Envelope(IDN, (B,)), Cargo(9), ALL, b"MAIL FROM:<b@xn--bcher-kva.example> SIZE=9\r\n"),
        (Envelope(A, (B,), smtputf8=True), Cargo(9), ALL, b"MAIL FROM:<a@a.example> SIZE=9\r\n"),
        (Envelope(A, (B,), tls="required"), Cargo(9), NONE, b"MAIL FROM:<a@a.example>\r\n"),
        (Envelope(A, (B,), tls="required"), Cargo(9), PROTECTING, b"MAIL FROM:<a@a.example> REQUIRETLS\r\n"),
        (Envelope(A, (B,), tls="optional"), Cargo(9), PROTECTING, b"MAIL FROM:<a@a.example>\r\n"),
    ],
)
def test_mail_says_only_what_was_offered_and_is_needed(
    envelope: Envelope, cargo: Cargo, capabilities: Capabilities, line: bytes
) -> None:
    assert mail_command(envelope, cargo, capabilities) == line


def test_rcpt_says_notify_and_orcpt_only_where_dsn_is_offered() -> None:
    recipient = Recipient(B.mailbox, ("FAILURE", "DELAY"), "rfc822;b+2Bx@b.example")
    assert rcpt_command(recipient, NONE) == b"RCPT TO:<b@b.example>\r\n"
    assert rcpt_command(recipient, ALL) == (
        b"RCPT TO:<b@b.example> NOTIFY=FAILURE,DELAY ORCPT=rfc822;b+2Bx@b.example\r\n"
    )
    assert rcpt_command(Recipient(Mailbox("postmaster", "", "")), NONE) == b"RCPT TO:<postmaster>\r\n"


@pytest.mark.parametrize("evil", ["\r\nDATA", "\n", "\r", "\0", "\x7f", "\udc80"])
def test_nothing_can_break_out_of_a_command_line(evil: str) -> None:
    mailbox = Mailbox(f"a{evil}", "a.example", "a.example")
    with pytest.raises(LocalProtocolError):
        mail_command(Envelope(mailbox, (B,)), Cargo(9), ALL)
    with pytest.raises(LocalProtocolError):
        rcpt_command(Recipient(mailbox), NONE)
    with pytest.raises(LocalProtocolError):
        mail_command(Envelope(A, (B,), envid=f"x{evil}"), Cargo(9), ALL)
    with pytest.raises(LocalProtocolError):
        rcpt_command(Recipient(A, orcpt=f"rfc822;x{evil} y"), ALL)


@pytest.mark.parametrize(
    ("told", "limit"),
    [
        (None, 0),
        ("", 0),
        ("RCPTMAX=20", 20),
        ("MAILMAX=5 rcptmax=20 RCPTDOMAINMAX=1", 20),
        ("RCPTMAX=999999", 999_999),
        ("RCPTMAX=1000000", 0),
        ("RCPTMAX", 0),
        ("RCPTMAX=", 0),
        ("RCPTMAX=-1", 0),
        ("RCPTMAX=\u0665", 0),
        ("XRCPTMAX=3", 0),
    ],
)
def test_limits_are_read_where_they_can_be(told: str | None, limit: int) -> None:
    capabilities = Capabilities({} if told is None else {"LIMITS": told})
    assert capabilities.limit("RCPTMAX") == limit
