"""Connections to next hops over loopback, against a peer that does what its script says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mta.adapters.smtp_connection import OutboundConnection, SmtpDialer
from mta.adapters.smtp_timeouts import Timeouts
from mta.adapters.tls.context import client_context
from mta.errors import ConnectFailed, ContractChanged, RemoteProtocolError, StorageError, TlsFailed
from mta.model.address import Mailbox
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content
from mta.ports import DialTarget, Transaction
from tests.support.patience import PATIENCE
from tests.support.pki import authority
from tests.support.smtp_peer import CLOSE, EXTENSIONS, STALL, Pause, PeerTls, Script, SmtpPeer, Split, smtp_peer

LOCK_STEP = tuple(e for e in EXTENSIONS if e != "PIPELINING")
SENDER = Mailbox("a", "a.example", "a.example")
BODY = b"Subject: x\r\n\r\n.dot\r\n"
PREFIX = b"Received: by us\r\n"
SHORT = Timeouts(*[0.3] * 11)


def transaction(*names: str, body: bytes = BODY, smtputf8: bool = False) -> Transaction:
    recipients = tuple(Recipient(Mailbox(name, "b.example", "b.example")) for name in names or ("b",))
    return Transaction(Envelope(SENDER, recipients, smtputf8=smtputf8), PREFIX, Content(len(body), body))


def target(peer: SmtpPeer) -> DialTarget:
    return DialTarget("mx.example", peer.port, "127.0.0.1", sni="mx.example")


async def dial(peer: SmtpPeer, timeouts: Timeouts | None = None) -> OutboundConnection:
    connection = await SmtpDialer(timeouts).connect(target(peer))
    assert (await connection.greet("me.example")).code == 250
    return connection


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    chain, key = authority().issue(dns_names=["mx.example"]).write(tmp_path_factory.mktemp("pki"), "mx")
    return str(chain), str(key)


@pytest.mark.parametrize("extensions", [EXTENSIONS, LOCK_STEP, ()])
async def test_messages_arrive_as_they_are_one_after_another(extensions: tuple[str, ...]) -> None:
    with smtp_peer(Script(extensions=extensions)) as peer:
        connection = await dial(peer)
        for body in (BODY, b"", b"no final line end", b".\r\n..\r\n", b"x" * 300_000 + b"\r\n"):
            replies = await connection.transact(transaction("b", "c", body=body))
            assert replies.data is not None
            assert replies.data.code == 250
            assert [r.code for r in replies.recipients] == [250, 250]
            assert connection.usable
        await connection.quit()
        messages = peer.wait_for(5)
        assert peer.connections == 1
        assert [m.data for m in messages[:2]] == [PREFIX + BODY, PREFIX]
        assert messages[2].data == PREFIX + b"no final line end\r\n"
        assert messages[3].data == PREFIX + b".\r\n..\r\n"
        assert len(messages[4].data) == len(PREFIX) + 300_002
        assert messages[0].helo == "me.example"
        assert messages[0].recipients == ("b@b.example", "c@b.example")


async def test_a_spooled_message_is_sent_from_its_file(tmp_path: Path) -> None:
    body = (b"." * 70 + b"\r\n") * 20_000
    path = tmp_path / "spool"
    path.write_bytes(body)
    with smtp_peer() as peer:
        connection = await dial(peer)
        content = Content(len(body), path=str(path), head=body[:1000])
        await connection.transact(replace(transaction(), content=content))
        assert peer.wait_for(1)[0].data == PREFIX + body


@pytest.mark.parametrize("there", [True, False])
async def test_a_spool_file_that_is_short_or_gone_never_ends_in_a_final_dot(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "spool"
    if there:
        path.write_bytes(BODY)
    with smtp_peer() as peer:
        connection = await dial(peer)
        content = Content(len(BODY) + 1, path=str(path), head=BODY)
        with pytest.raises(StorageError, match="spool"):
            await connection.transact(replace(transaction(), content=content))
        assert not connection.usable
        assert peer.messages == []


async def test_each_recipient_has_its_own_reply() -> None:
    script = Script(recipients={"no@b.example": "550 5.1.1 unknown", "later@b.example": "450 4.2.1 full"})
    with smtp_peer(script) as peer:
        connection = await dial(peer)
        replies = await connection.transact(transaction("no", "b", "later"))
        assert [(r.code, r.enhanced) for r in replies.recipients] == [(550, "5.1.1"), (250, "2.1.5"), (450, "4.2.1")]
        assert peer.wait_for(1)[0].recipients == ("b@b.example",)
        refused = await connection.transact(transaction("no", "later"))
        assert refused.data is None
        assert (await connection.transact(transaction())).data is not None


async def test_a_lone_dot_ends_what_has_no_recipient() -> None:
    with smtp_peer(Script(replies={"RCPT": "550 no", "DATA": "354 go"})) as peer:
        connection = await dial(peer)
        replies = await connection.transact(transaction())
        assert replies.data is None
        assert connection.usable
        assert b"Received" not in peer.clear_bytes


@pytest.mark.parametrize(
    ("extensions", "smtputf8", "body", "status"),
    [
        (("SIZE 20",), False, BODY, "5.3.4"),
        ((), False, BODY + b"\xff\r\n", "5.6.3"),
        (("8BITMIME",), True, "Subject: ü\r\n\r\n".encode(), "5.6.7"),
    ],
)
async def test_what_the_hop_cannot_carry_is_answered_by_us_and_nothing_is_said(
    extensions: tuple[str, ...], smtputf8: bool, body: bytes, status: str
) -> None:
    with smtp_peer(Script(extensions=extensions)) as peer:
        connection = await dial(peer)
        replies = await connection.transact(transaction(body=body, smtputf8=smtputf8))
        assert replies.mail.status == status
        assert b"MAIL" not in peer.clear_bytes
        assert (await connection.transact(replace(transaction(body=b"x\r\n"), prefix=b""))).data
        assert len(peer.wait_for(1)) == 1


async def test_a_spooled_message_is_searched_for_8_bit_octets_before_a_hop_without_8bitmime(tmp_path: Path) -> None:
    body = b"Subject: x\r\n\r\n" + b"x" * 300_000 + b"\r\n"
    (tmp_path / "7").write_bytes(body)
    (tmp_path / "8").write_bytes(body + b"\xe9\r\n")
    with smtp_peer(Script(extensions=())) as peer:
        connection = await dial(peer)
        eight = Content(len(body) + 3, path=str(tmp_path / "8"), head=body[:100])
        assert (await connection.transact(replace(transaction(), content=eight))).mail.status == "5.6.3"
        seven = Content(len(body), path=str(tmp_path / "7"), head=body[:100])
        assert (await connection.transact(replace(transaction(), content=seven))).data
        assert len(peer.wait_for(1)) == 1


async def test_a_call_out_asks_and_leaves_no_transaction_behind() -> None:
    with smtp_peer(Script(recipients={"no@b.example": "550 5.1.1 unknown"})) as peer:
        connection = await dial(peer)
        mail, rcpt = await connection.probe_recipient(transaction("no").envelope)
        assert mail.code == 250
        assert rcpt is not None
        assert rcpt.status == "5.1.1"
        await connection.transact(transaction())
        peer.wait_for(1)
        assert "RSET" in peer.commands
        assert "DATA" not in peer.commands[: peer.commands.index("RSET")]


# --- TLS ------------------------------------------------------------------------------------------------------------


async def test_after_starttls_nothing_travels_in_clear(pair: tuple[str, str]) -> None:
    with smtp_peer(Script(tls=PeerTls(*pair))) as peer:
        connection = await dial(peer)
        assert "STARTTLS" in connection.capabilities
        assert (await connection.start_tls()).code == 220
        assert connection.capabilities.extensions == {}
        assert connection.tls is not None
        assert connection.tls.version == "1.3"
        assert connection.tls.leaf is not None
        assert connection.tls.leaf.dns_names == ("mx.example",)
        await connection.greet("me.example")
        assert "STARTTLS" not in connection.capabilities
        await connection.transact(transaction())
        big = b"y" * 400_000 + b"\r\n"
        await connection.transact(transaction(body=big))
        first, second = peer.wait_for(2)
        assert first.tls == "TLSv1.3"
        assert first.data == PREFIX + BODY
        assert second.data == PREFIX + big
        assert peer.clear_bytes == b"EHLO me.example\r\nSTARTTLS\r\n"
        await connection.quit()


@pytest.mark.parametrize("judged", [False, True])
async def test_tls_at_once_and_our_certificate_are_shown_where_the_target_says_so(
    judged: bool, pair: tuple[str, str], tmp_path: Path
) -> None:
    """What was judged is shown, whatever lies in the files by now."""
    ca = authority().write(tmp_path / "ca.pem")
    ours = authority().issue(dns_names=["me.example"])
    chain, key = ours.write(tmp_path, "me")
    with smtp_peer(Script(tls=PeerTls(*pair, client_ca=str(ca), implicit=True))) as peer:
        where = replace(target(peer), implicit_tls=True, certificate_chain=str(chain), certificate_key=str(key))
        if judged:
            where = replace(where, certificate_pem=(ours.chain_pem, ours.key_pem))
            authority().issue(dns_names=["another.example"]).write(tmp_path, "me")
        connection = await SmtpDialer().connect(where)
        assert connection.tls is not None
        await connection.greet("me.example")
        assert (await connection.authenticate("u", "p")).code == 454  # AUTH is not offered
        await connection.transact(transaction())
        [message] = peer.wait_for(1)
        assert message.client_certificate == ours.der
        assert peer.clear_bytes == b""


async def test_contexts_are_kept_until_a_reload(pair: tuple[str, str]) -> None:
    made: list[str] = []

    def make(version: str, *pair: Any) -> object:
        made.append(version)
        return client_context(version, *pair)

    with smtp_peer(Script(tls=PeerTls(*pair, implicit=True))) as peer:
        dialer = SmtpDialer(contexts=make)  # type: ignore[arg-type]
        where = replace(target(peer), implicit_tls=True)
        for _ in range(2):
            (await dialer.connect(where)).abort()
        assert made == ["1.2"]
        (await dialer.connect(replace(where, min_version="1.3"))).abort()
        dialer.reload()
        (await dialer.connect(where)).abort()
        assert made == ["1.2", "1.3", "1.2"]


@pytest.mark.parametrize("injected", [b"220 go\r\n250 injected\r\n", b"220 go\r\n25"])
async def test_octets_behind_the_220_end_the_connection_before_the_handshake(
    pair: tuple[str, str], injected: bytes
) -> None:
    with smtp_peer(Script(tls=PeerTls(*pair), replies={"STARTTLS": injected})) as peer:
        connection = await dial(peer)
        with pytest.raises(RemoteProtocolError):
            await connection.start_tls()
        assert not connection.usable
        assert connection.tls is None


async def test_a_refused_starttls_is_told_and_the_connection_stays_clear(pair: tuple[str, str]) -> None:
    with smtp_peer(Script(tls=PeerTls(*pair), replies={"STARTTLS": "454 4.7.0 not now"})) as peer:
        connection = await dial(peer)
        assert (await connection.start_tls()).code == 454
        assert connection.tls is None
        assert connection.usable


@pytest.mark.parametrize("after", [CLOSE, STALL, b"not a handshake\r\n"])
async def test_a_failed_handshake_is_tls_failed_and_closes(pair: tuple[str, str], after: object) -> None:
    script = Script(replies={"STARTTLS": ("220 go", Pause(0.05), after)})
    with smtp_peer(script) as peer:
        connection = await dial(peer, SHORT)
        with pytest.raises((TlsFailed, RemoteProtocolError)):
            await connection.start_tls()
        assert not connection.usable


async def test_a_client_certificate_that_cannot_be_read_is_told_with_its_path(pair: tuple[str, str]) -> None:
    with smtp_peer(Script(tls=PeerTls(*pair))) as peer:
        where = replace(target(peer), certificate_chain="/nowhere/me.pem", certificate_key="/nowhere/me.key")
        connection = await SmtpDialer().connect(where)
        await connection.greet("me")
        with pytest.raises(TlsFailed, match=r"/nowhere/me\.pem"):
            await connection.start_tls()


async def test_a_password_is_sent_inside_tls(pair: tuple[str, str]) -> None:
    for offer, said in (("AUTH LOGIN PLAIN", "AUTH PLAIN AHUAcA=="), ("AUTH LOGIN", "dQ==")):
        with smtp_peer(Script(extensions=(offer,), tls=PeerTls(*pair, implicit=True))) as peer:
            connection = await SmtpDialer().connect(replace(target(peer), implicit_tls=True))
            await connection.greet("me")
            assert (await connection.authenticate("u", "p")).code == 235
            assert said in peer.commands


async def _converse(connection: OutboundConnection) -> None:
    await connection.greet("me")
    await connection.transact(transaction())


# --- trouble --------------------------------------------------------------------------------------------------------


async def test_nobody_at_home_is_connect_failed_with_everything_in_its_text() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(ConnectFailed) as caught:
            await SmtpDialer().connect(DialTarget("mx.example", port, "127.0.0.1"))
    assert caught.value.phase == "connect"
    for part in ("mx.example", "127.0.0.1", str(port), "refused"):
        assert part in str(caught.value).lower()


async def test_a_connection_that_does_not_come_about_ends_by_its_timeout() -> None:
    async def never(protocol: Callable[[], asyncio.Protocol], where: DialTarget) -> None:
        await asyncio.sleep(60)

    with pytest.raises(ConnectFailed, match=r"within 0\.05 s"):
        await SmtpDialer(Timeouts(connect=0.05), connector=never).connect(DialTarget("mx", 25, "192.0.2.1"))


STALLS = {
    "GREETING": "greeting",
    "EHLO": "helo",
    "MAIL": "mail",
    "RCPT": "rcpt",
    "DATA": "data_init",
    "DOT": "data_final",
}


@pytest.mark.parametrize("extensions", [EXTENSIONS, LOCK_STEP])
@pytest.mark.parametrize(("verb", "phase"), STALLS.items())
async def test_a_silent_peer_ends_by_the_timeout_of_its_phase(
    verb: str, phase: str, extensions: tuple[str, ...]
) -> None:
    timeouts = replace(Timeouts(), **{phase: 0.2})
    with smtp_peer(Script(extensions=extensions, replies={verb: STALL})) as peer:
        connection = await SmtpDialer(timeouts).connect(target(peer))
        with pytest.raises(ConnectFailed) as caught:
            await _converse(connection)
        assert caught.value.phase == phase
        assert "0.2 s" in str(caught.value)
        assert not connection.usable


@pytest.mark.parametrize(("verb", "phase"), STALLS.items())
async def test_a_lost_connection_tells_what_was_waited_for(verb: str, phase: str) -> None:
    with smtp_peer(Script(extensions=LOCK_STEP, replies={verb: CLOSE})) as peer:
        connection = await SmtpDialer().connect(target(peer))
        with pytest.raises(ConnectFailed) as caught:
            await _converse(connection)
        assert caught.value.phase == phase
        assert not connection.usable


async def test_a_trickle_of_half_a_reply_does_not_extend_the_time() -> None:
    trickle = tuple(x for n in range(4000) for x in (b"250-"[n : n + 1] or b"x", Pause(0.05)))
    with smtp_peer(Script(replies={"MAIL": trickle})) as peer:
        connection = await dial(peer, replace(Timeouts(), mail=0.3))
        async with asyncio.timeout(PATIENCE):
            with pytest.raises(ConnectFailed) as caught:
                await connection.transact(transaction())
        assert caught.value.phase == "mail"


async def test_a_peer_that_takes_no_content_ends_by_the_time_of_a_block() -> None:
    with smtp_peer(Script(replies={"CONTENT": STALL})) as peer:
        connection = await dial(peer, replace(Timeouts(), data_block=0.3))
        with pytest.raises(ConnectFailed) as caught:
            await connection.transact(transaction(body=b"x" * 30_000_000))
        assert caught.value.phase == "data_block"


@pytest.mark.parametrize("reply", ["552 5.3.4 too much", "421 4.3.2 bye"])
async def test_a_refusal_in_the_middle_of_a_spooled_message_is_its_reply(tmp_path: Path, reply: str) -> None:
    body = b"x" * 20_000_000
    (tmp_path / "spool").write_bytes(body)
    with smtp_peer(Script(replies={"CONTENT": (reply, STALL)})) as peer:
        connection = await dial(peer)
        content = Content(len(body), path=str(tmp_path / "spool"), head=body[:100])
        replies = await connection.transact(replace(transaction(), content=content))
        assert replies.data is not None
        assert str(replies.data) == reply
        assert not connection.usable


@pytest.mark.parametrize("verb", ["GREETING", "EHLO", "MAIL", "RCPT", "DATA", "DOT"])
async def test_garbage_is_the_peers_fault(verb: str) -> None:
    with smtp_peer(Script(replies={verb: b"<html>\r\n"})) as peer:
        connection = await SmtpDialer().connect(target(peer))
        with pytest.raises(RemoteProtocolError):
            await _converse(connection)
        assert not connection.usable


async def test_replies_in_single_octets_are_read() -> None:
    split = {verb: Split(text) for verb, text in (("MAIL", "250 ok"), ("RCPT", "250 ok"), ("DOT", "250 2.0.0 in"))}
    with smtp_peer(Script(replies=split)) as peer:
        connection = await dial(peer)
        assert (await connection.transact(transaction())).data
        peer.wait_for(1)


async def test_421_is_a_reply_and_ends_the_connection() -> None:
    with smtp_peer(Script(replies={"RCPT": ("421 4.3.2 shutting down", CLOSE)})) as peer:
        connection = await dial(peer)
        replies = await connection.transact(transaction("b", "c"))
        assert [r.code for r in replies.recipients] == [421, 421]
        assert not connection.usable


@pytest.mark.parametrize("farewell", [("250 taken", CLOSE), ("250 taken", b"421 idle\r\n"), ("250 taken", b"?")])
async def test_a_kept_connection_that_the_peer_leaves_is_not_usable(farewell: object) -> None:
    with smtp_peer(Script(replies={"DOT": farewell})) as peer:
        connection = await dial(peer)
        assert (await connection.transact(transaction())).data
        async with asyncio.timeout(PATIENCE):
            while connection.usable:
                await asyncio.sleep(0.01)
        with pytest.raises((ConnectFailed, RemoteProtocolError)):
            await connection.transact(transaction())
        assert len(peer.messages) == 1


async def test_a_cancelled_transaction_leaves_nothing_to_be_used_again() -> None:
    with smtp_peer(Script(replies={"DOT": STALL})) as peer:
        connection = await dial(peer)
        task = asyncio.ensure_future(connection.transact(transaction()))
        await asyncio.to_thread(peer.wait_for_command, "DATA")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not connection.usable


@pytest.mark.parametrize("farewell", ["221 bye", CLOSE, STALL, b"<html>\r\n"])
async def test_quit_never_raises(farewell: object) -> None:
    with smtp_peer(Script(replies={"QUIT": farewell})) as peer:
        connection = await dial(peer, SHORT)
        await connection.quit()
        assert not connection.usable
        await connection.quit()


async def test_a_greeting_may_arrive_before_it_is_waited_for() -> None:
    with smtp_peer() as peer:
        connection = await SmtpDialer().connect(target(peer))
        await asyncio.sleep(0.05)
        assert (await connection.greet("me")).text[0] == "peer.example greets you"
        await connection.transact(transaction())
        peer.wait_for(1)


async def test_a_refused_greeting_is_the_reply() -> None:
    with smtp_peer(Script(replies={"GREETING": "554 5.7.1 not you"})) as peer:
        connection = await SmtpDialer().connect(target(peer))
        assert str(await connection.greet("me")) == "554 5.7.1 not you"
        await connection.quit()
        assert peer.commands == ["QUIT"]


@pytest.mark.parametrize("asked", [1, 2, 3])
async def test_a_transaction_that_stands_no_more_is_not_finished(asked: int, tmp_path: Path) -> None:
    """Asked before MAIL, before the content, and before the final dot of a large one."""
    path = tmp_path / "spool"
    path.write_bytes(BODY)
    answers = [True] * (asked - 1) + [False]
    content = Content(len(BODY), path=str(path), head=BODY)
    with smtp_peer() as peer:
        connection = await dial(peer)
        with pytest.raises(ContractChanged):
            await connection.transact(replace(transaction(), content=content, stands=lambda: answers.pop(0)))
        assert answers == []
        assert not connection.usable
        second = await dial(peer)
        await second.transact(transaction())
        assert len(peer.wait_for(1)) == 1  # the second one alone
