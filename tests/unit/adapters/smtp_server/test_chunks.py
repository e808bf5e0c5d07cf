"""BDAT over a real socket: where its content goes, and what becomes of it when the transaction is given up."""

from __future__ import annotations

import asyncio

import pytest

from mta.model.reply import Reply
from tests.support.patience import PATIENCE, patient
from tests.support.smtp_server import Client, FakeReceiver, Server, serving

HEAD = b"Subject: x\r\n\r\n"
BODY = b"body\r\n.\r\n" * 4000


async def begun(server: Server) -> Client:
    """A client with a recipient."""
    client = await server.connect()
    assert await client.say("EHLO client.example") == 250
    assert await client.say("MAIL FROM:<a@fabrikam.example>") == 250
    assert await client.say("RCPT TO:<b@contoso.example>") == 250
    return client


async def send(client: Client, data: bytes, last: str = "") -> int:
    client.write(b"BDAT %d%s\r\n" % (len(data), last.encode()) + data)
    return await client.reply()


@pytest.mark.parametrize("threshold", [0, 10_000_000])
async def test_chunks_become_one_message_in_memory_or_in_the_spool(threshold: int) -> None:
    async with serving(spool_threshold=threshold, header_size=1000) as server:
        client = await begun(server)
        assert await send(client, HEAD) == 250
        assert await client.say("NOOP") == 250
        assert await send(client, BODY) == 250
        assert await send(client, b"end", " LAST") == 250
        assert server.receiver.contents == [HEAD + BODY + b"end\r\n"]
        assert len(server.receiver.spools) == (threshold == 0)
        assert ("DATA", None) in server.receiver.asked
        assert await client.send_message(HEAD, helo="") == 250  # the next one may come by DATA


@pytest.mark.parametrize("line", ["RSET", "EHLO again.example", "HELO again.example"])
async def test_a_spool_is_let_go_of_when_the_message_is_given_up(line: str) -> None:
    async with serving(spool_threshold=0, header_size=1000) as server:
        client = await begun(server)
        assert await send(client, HEAD + BODY) == 250
        assert await client.say(line) == 250
        assert [spool.discarded for spool in server.receiver.spools] == [1]
        assert await send(client, HEAD, " LAST") == 503
        assert server.receiver.contents == []


@pytest.mark.parametrize("how", ["between", "within", "quit"])
async def test_and_when_the_client_goes(how: str) -> None:
    async with serving(spool_threshold=0, header_size=1000) as server:
        client = await begun(server)
        assert await send(client, HEAD + BODY) == 250
        if how == "quit":
            assert await client.say("QUIT") == 221
        else:
            client.write(b"BDAT 100 LAST\r\n" + b"x" * 50 if how == "within" else b"")
            client.transport.write_eof()
        await client.end()
        await server.idle()
        assert [spool.discarded for spool in server.receiver.spools] == [1]
        assert server.receiver.contents == []


async def test_a_refused_chunk_is_read_and_the_session_goes_on() -> None:
    async with serving(FakeReceiver({"RCPT": Reply(550, "5.1.1", ("Unknown",))}), error_delay=0.0) as server:
        client = await server.connect()
        await client.say("EHLO client.example")
        await client.say("MAIL FROM:<>")
        evil = b"MAIL FROM:<evil@fabrikam.example>\r\n"
        client.write(b"RCPT TO:<b@contoso.example>\r\nBDAT %d LAST\r\n" % len(evil) + evil + b"NOOP\r\n")
        assert [await client.reply() for _ in range(3)] == [550, 554, 250]
        assert len(server.receiver.envelopes) == 1


async def test_a_full_disk_is_told_at_the_last_chunk() -> None:
    async with serving(FakeReceiver(full_after=30_000), spool_threshold=0, header_size=1000) as server:
        client = await begun(server)
        assert await send(client, HEAD + BODY) == 250
        assert await send(client, BODY, " LAST") == 452
        assert server.receiver.contents == []
        assert await client.say("NOOP") == 250


async def test_a_shutdown_lets_the_chunks_arrive_and_then_says_goodbye() -> None:
    async with serving() as server:
        client = await begun(server)
        assert await send(client, HEAD) == 250
        [connection] = server.open
        connection.shut_down()
        assert await send(client, b"body\r\n", " LAST") == 250
        assert await client.codes() == [421]
        assert server.receiver.contents == [HEAD + b"body\r\n"]


async def test_the_least_rate_counts_between_chunks_too() -> None:
    async with serving(data_timeout=0.3, data_rate=1000, command_timeout=patient(60)) as server:
        client = await begun(server)
        assert await send(client, HEAD) == 250
        assert await client.codes() == [421]
        await server.idle()
        assert server.receiver.closed == ["timeout"]


async def test_a_large_chunk_is_not_held_in_one_piece() -> None:
    async with serving(spool_threshold=0, header_size=1000, message_size=30_000_000) as server:
        client = await begun(server)
        [connection] = server.open
        data = HEAD + (b"x" * 98 + b"\r\n") * 200_000
        client.write(b"BDAT %d LAST\r\n" % len(data))
        most = 0
        async with asyncio.timeout(10 * PATIENCE):
            for place in range(0, len(data), 100_000):
                client.write(data[place : place + 100_000])
                await asyncio.sleep(0)
                most = max(most, connection.server.buffered)
        assert await client.reply() == 250
        assert server.receiver.contents == [data]
        assert most < 2_000_000
