"""How bytes come and go: pipelining, pieces, half-closed and vanished clients, smuggling, the end of the server."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import struct
import weakref
from typing import Any

import pytest

from mta.rfc.smtp.server_state import State
from tests.support.patience import PATIENCE
from tests.support.smtp_server import OK, Client, Ended, FakeReceiver, FakeSpool, Server, serving

MESSAGE = b"From: a@fabrikam.example\r\nSubject: x\r\n\r\n..dot\r\nbody\r\n"
CONTENT = MESSAGE.replace(b"\r\n..", b"\r\n.")
GROUP = b"MAIL FROM:<a@fabrikam.example>\r\nRCPT TO:<b@contoso.example>\r\nRCPT TO:<c@contoso.example>\r\nDATA\r\n"
DIALOGUE = (  # what is said, and how often there is a reply to wait for
    (b"EHLO client.example\r\n", 1),
    (GROUP, 4),
    (MESSAGE + b".\r\n", 1),
    (b"NOOP\r\nBOGUS\r\nRSET\r\n" + GROUP, 7),
    (MESSAGE + b".\r\nQUIT\r\n", 2),
)


async def test_replies_to_a_group_leave_in_one_write() -> None:
    async with serving() as server:
        client = await server.connect()
        await client.say("EHLO client.example")
        client.writes = 0
        client.write(GROUP)
        assert [await client.reply() for _ in range(4)] == [250, 250, 250, 354]
        assert client.writes == 1
        client.write(MESSAGE + b".\r\n" + GROUP[:-6] + b"RSET\r\nNOOP\r\n")
        assert [await client.reply() for _ in range(6)] == [250] * 6
        assert client.writes == 2


async def test_replies_do_not_wait_for_the_rest_of_an_unfinished_command() -> None:
    async with serving() as server:
        client = await server.connect()
        client.write(b"NOOP\r\nNOO")
        assert await client.reply() == 250
        client.write(b"P\r\n")
        assert await client.reply() == 250


@pytest.mark.parametrize("slowly", [True, False])
async def test_octet_by_octet_is_the_same_as_all_at_once(slowly: bool) -> None:
    async with serving() as server:
        client = await server.connect()
        client.transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        codes = []
        for said, replies in DIALOGUE:
            if slowly:
                await client.write_slowly(said)
            else:
                client.write(said)
            codes += [await client.reply() for _ in range(replies)]
        assert codes == [250, 250, 250, 250, 354, 250, 250, 500, 250, 250, 250, 250, 354, 250, 221]
        assert server.receiver.contents == [CONTENT, CONTENT]


async def test_a_long_group_lets_other_sessions_have_their_turn() -> None:
    async with serving() as server:
        busy, other = await server.connect(), await server.connect()
        await busy.say("EHLO client.example")
        await busy.say("MAIL FROM:<>")
        turns: list[int] = []
        server.receiver.answers["MAIL"] = lambda _: turns.append(len(server.receiver.recipients)) or OK
        await other.say("EHLO other.example")
        busy.write(b"RCPT TO:<b@contoso.example>\r\n" * 4000)
        other.write(b"MAIL FROM:<>\r\n")
        assert await other.reply() == 250
        assert turns[0] < 1000
        assert [await busy.reply() for _ in range(4000)] == [250] * 4000


async def test_a_client_that_half_closes_after_the_final_dot_hears_its_250() -> None:
    gate = asyncio.Event()
    async with serving(FakeReceiver(commit=gate.wait)) as server:
        client = await server.connect()
        await client.begin()
        client.write(MESSAGE + b".\r\n")
        client.transport.write_eof()
        await asyncio.sleep(0.03)
        assert server.receiver.contents == []
        gate.set()
        assert await client.codes() == [250]
        assert server.receiver.contents == [CONTENT]


async def test_a_whole_session_may_be_said_before_half_closing() -> None:
    async with serving(forbid_early_talkers=False) as server:
        client = await server.connect()
        client.write(b"EHLO client.example\r\n" + GROUP + MESSAGE + b".\r\n")
        client.transport.write_eof()
        assert await client.codes() == [250, 250, 250, 250, 354, 250]
        await server.idle()
        assert server.receiver.closed == ["closed by the client"]


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_vanishes_during_the_commit_leaves_one_message(how: str) -> None:
    gate = asyncio.Event()
    async with serving(FakeReceiver(commit=gate.wait)) as server:
        client = await server.connect()
        await client.begin()
        client.write(MESSAGE + b".\r\nNOOP\r\n")
        async with asyncio.timeout(PATIENCE):
            while "DOT" not in [verb for verb, _ in server.receiver.asked]:
                await asyncio.sleep(0.002)
        vanish(client, how)
        await asyncio.sleep(0.03)
        assert server.receiver.closed == []
        gate.set()
        await server.idle()
        assert server.receiver.contents == [CONTENT]
        assert len(server.receiver.closed) == 1


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("said", range(6))
async def test_a_client_may_vanish_anywhere(said: int, how: str) -> None:
    lines = [b"EHLO client.example\r\n", *GROUP.splitlines(keepends=True), MESSAGE[:30]]
    async with serving() as server:
        client = await server.connect()
        for line in lines[: said + 1]:
            client.write(line)
            await asyncio.sleep(0.001)
        vanish(client, how)
        await server.idle()
        assert server.receiver.contents == []
        assert len(server.receiver.closed) == 1


def vanish(client: Client, how: str) -> None:
    if how == "reset":
        taken = client.transport.get_extra_info("socket")
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.transport.abort()


async def test_what_a_vanished_client_left_unread_does_no_harm() -> None:
    """More than is read ahead, so that reading is paused when the connection goes."""
    gate = asyncio.Event()

    async with serving(FakeReceiver(commit=gate.wait)) as server:
        client = await server.connect()
        await client.begin()
        client.write(MESSAGE + b".\r\n" + b"NOOP " + b"x" * 400_000)
        await asyncio.sleep(0.05)
        vanish(client, "reset")
        await asyncio.sleep(0.02)
        gate.set()
        await server.idle()
        assert server.receiver.contents == [CONTENT]


# --- smuggling ----------------------------------------------------------------------------------------------------

# (before the dot, behind it) that someone else might take for the end of data, and we must not
FALSE_ENDS = [
    (before, behind)
    for before in (b"\n", b"\r\n", b"\r")
    for behind in (b"\n", b"\r\n", b"\r")
    if (before, behind) != (b"\r\n", b"\r\n")
]
MORE_FALSE_ENDS = [b"\r\n\0.\r\n", b"\r\n.\0\r\n", b"\r\r\n.\r\r\n", b"\n\r.\n\r", b"\r\n.\r\r\n", b"\r\r\n.\r\n",
                   b"\n.\r\n.\n", b"\r.\r.\r\n"]  # fmt: skip
SMUGGLED = b"MAIL FROM:<evil@fabrikam.example>\r\nRCPT TO:<b@contoso.example>\r\nDATA\r\nSubject: smuggled\r\n\r\n.\r\n"


@pytest.mark.parametrize("end", [before + b"." + behind for before, behind in FALSE_ENDS] + MORE_FALSE_ENDS)
@pytest.mark.parametrize("slowly", [True, False])
async def test_only_crlf_dot_crlf_ends_the_data(end: bytes, slowly: bool) -> None:
    async with serving() as server:
        client = await server.connect()
        await client.begin()
        data = b"Subject: first\r\n\r\nbody" + end + SMUGGLED + b"\r\n.\r\n"
        if slowly:
            await client.write_slowly(data)
        else:
            client.write(data)
        codes = await client.codes()
        assert codes[0] == 550
        assert server.receiver.contents == []
        assert not [envelope for envelope in server.receiver.envelopes if "evil" in envelope.sender_text]


# --- output that nobody reads --------------------------------------------------------------------------------------


async def test_a_client_that_does_not_read_is_dropped_after_the_timeout() -> None:
    async with serving(command_timeout=0.3, junk_commands=10**9) as server:
        loop = asyncio.get_running_loop()
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)
            await loop.sock_connect(connection, ("127.0.0.1", server.port))
            assert (await loop.sock_recv(connection, 1000)).startswith(b"220 ")
            with contextlib.suppress(ConnectionError):
                await loop.sock_sendall(connection, b"NOOP\r\n" * 4_000_000)
        await server.idle()
        assert server.receiver.closed == ["timeout"]


async def test_last_words_are_not_taken_away_by_a_reset() -> None:
    """Elsewhere than on Linux a reset discards what was not read yet; here it can be seen to stay away."""
    loop = asyncio.get_running_loop()
    async with serving() as server:
        with socket.socket() as connection:
            connection.setblocking(False)
            await loop.sock_connect(connection, ("127.0.0.1", server.port))
            assert (await loop.sock_recv(connection, 1000)).startswith(b"220 ")
            await loop.sock_sendall(connection, b"NOOP\n")
            async with asyncio.timeout(PATIENCE):
                while not server.receiver.closed:
                    await asyncio.sleep(0.002)
            for _ in range(3):
                await loop.sock_sendall(connection, b"MAIL FROM:<>\r\n" * 10_000)
                await asyncio.sleep(0.01)
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            assert (await loop.sock_recv(connection, 1000)).startswith(b"500 ")
            assert await loop.sock_recv(connection, 1000) == b""
            assert len(server.open) == 1  # it counts as long as it is there
        await server.idle()
        assert server.receiver.envelopes == []


async def test_a_client_that_does_not_go_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mta.adapters.smtp_server.protocol._LINGER", 0.1)
    async with serving() as server:
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(b"NOOP\n")
        async with asyncio.timeout(PATIENCE):
            while not server.receiver.closed:
                await asyncio.sleep(0.002)
        await server.idle()
        connection.close()


async def test_a_shutdown_does_not_speak_to_who_has_heard_the_last_word() -> None:
    async with serving() as server:
        connection = socket.create_connection(("127.0.0.1", server.port))
        connection.sendall(b"NOOP\n")
        async with asyncio.timeout(PATIENCE):
            while not server.receiver.closed:
                await asyncio.sleep(0.002)
        [waiting_for_the_end] = server.open
        waiting_for_the_end.shut_down()
        waiting_for_the_end.cut()
        await server.idle()
        connection.close()


async def test_last_words_that_nobody_reads_do_not_keep_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mta.adapters.smtp_server.protocol._LINGER", 0.1)
    async with serving() as server:
        client = await server.connect()
        client.transport.pause_reading()
        [connection] = server.open
        transport = connection.transport
        transport.write(b"x" * 20_000_000)
        client.write(b"QUIT\r\n")
        await asyncio.sleep(0.02)
        assert transport.get_write_buffer_size() > 0
        async with asyncio.timeout(PATIENCE):
            while transport.get_write_buffer_size():
                await asyncio.sleep(0.01)


# --- the end of the server ----------------------------------------------------------------------------------------


async def waiting(server: Server) -> Any:
    """The one connection, as the listener holds it."""
    [connection] = server.open
    return connection


async def test_a_shutdown_tells_idle_clients_at_once() -> None:
    async with serving() as server:
        client = await server.connect()
        await client.say("EHLO client.example")
        (await waiting(server)).shut_down()
        assert await client.codes() == [421]
        await server.idle()
        assert server.receiver.closed == ["shutdown"]


async def test_a_shutdown_lets_a_message_arrive_and_then_says_goodbye() -> None:
    async with serving() as server:
        client = await server.connect()
        await client.begin()
        client.write(MESSAGE)
        await asyncio.sleep(0.02)
        (await waiting(server)).shut_down()
        await asyncio.sleep(0.02)
        client.write(b".\r\n")
        assert await client.codes() == [250, 421]
        assert server.receiver.contents == [CONTENT]


async def test_the_end_of_patience_cuts_a_message_that_is_still_arriving() -> None:
    async with serving() as server:
        client = await server.connect()
        await client.begin()
        client.write(MESSAGE)
        await asyncio.sleep(0.02)
        connection = await waiting(server)
        connection.shut_down()
        connection.cut()
        assert await client.codes() == [421]
        await server.idle()
        assert server.receiver.contents == []


async def test_the_end_of_patience_does_not_deny_a_commit() -> None:
    gate = asyncio.Event()
    async with serving(FakeReceiver(commit=gate.wait)) as server:
        client = await server.connect()
        await client.begin()
        client.write(MESSAGE + b".\r\n")
        await asyncio.sleep(0.03)
        connection = await waiting(server)
        connection.shut_down()
        connection.cut()
        gate.set()
        assert await client.codes() == [250, 421]
        assert server.receiver.contents == [CONTENT]


async def test_data_that_arrives_with_the_timeout_is_not_taken() -> None:
    """The client has been told 421: if the message were taken now, it would be there twice."""
    async with serving() as server:
        client = await server.connect()
        await client.begin()
        client.write(MESSAGE)
        await asyncio.sleep(0.02)
        connection = await waiting(server)
        connection._deadline._at = 0.0
        connection._deadline._ring()
        connection.data_received(b".\r\n")
        assert await client.codes() == [421]
        await server.idle()
        assert server.receiver.contents == []


async def test_data_that_arrives_just_before_the_timeout_is_not_taken_behind_it() -> None:
    async with serving() as server:
        client = await server.connect()
        await client.begin()
        client.write(MESSAGE)
        await asyncio.sleep(0.02)
        connection = await waiting(server)
        connection.data_received(b".\r\n")
        connection._deadline._at = 0.0
        connection._deadline._ring()
        assert await client.codes() == [421]
        await server.idle()
        assert server.receiver.contents == []


async def test_a_message_whose_end_waits_for_the_disk_at_the_end_of_patience_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The client has been told 421: it will come again with the same message."""
    gate, began, write = asyncio.Event(), asyncio.Event(), FakeSpool.write

    async def slowly(spool: FakeSpool, data: bytes) -> None:
        if (await waiting(server)).server.state is State.ASKED_MESSAGE:
            began.set()
            await gate.wait()
        await write(spool, data)

    monkeypatch.setattr(FakeSpool, "write", slowly)
    async with serving(spool_threshold=0, header_size=1000) as server:
        client = await server.connect()
        await client.begin()
        client.write(MESSAGE + b"body\r\n" * 2000 + b".\r\n")
        async with asyncio.timeout(PATIENCE):
            await began.wait()
        connection = await waiting(server)
        connection.shut_down()
        connection.cut()
        gate.set()
        assert await client.codes() == [421]
        await server.idle()
        assert server.receiver.contents == []


async def test_a_session_that_has_ended_leaves_no_circle_behind() -> None:
    """Else its memory would wait for the garbage collector, which a worker runs seldom."""
    gc.disable()
    try:
        async with serving() as server:
            client = await server.connect()
            connection = weakref.ref(await waiting(server))
            assert await client.send_message(MESSAGE) == 250
            assert await client.say("QUIT") == 221
            await client.end()
            await server.idle()
        await asyncio.sleep(0)
        assert connection() is None
    finally:
        gc.enable()


async def test_replies_wait_while_the_client_is_slow_to_read() -> None:
    async with serving(junk_commands=10**6) as server:
        client = await server.connect()
        client.transport.pause_reading()
        for _ in range(40):
            client.write(b"NOOP " + b"x" * 90 + b"\r\n")
        await asyncio.sleep(0.01)
        connection = await waiting(server)
        connection.pause_writing()
        client.write(b"NOOP\r\n" * 3)
        await asyncio.sleep(0.01)
        assert not connection.in_command
        connection.resume_writing()
        client.transport.resume_reading()
        assert [await client.reply() for _ in range(43)] == [250] * 43


async def test_nothing_is_left_after_the_client_has_left() -> None:
    async with serving() as server:
        for _ in range(5):
            client = await server.connect()
            await client.send_message(MESSAGE)
            await client.say("QUIT")
            assert await client.end() == b""
        await server.idle()
        assert len(server.receiver.closed) == 5
        with pytest.raises(Ended):
            await client.say("NOOP")
