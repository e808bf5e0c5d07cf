"""Every limit of the wire at its value and one beyond; what decides behind the wire is in tests/unit/pipeline."""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from mta.adapters.smtp_server.content import Arrived
from mta.adapters.smtp_server.settings import ServerSettings
from mta.model.reply import Reply
from mta.model.session import SessionFacts
from mta.rfc.smtp.proxy import SIGNATURE
from tests.support.patience import PATIENCE, patient
from tests.support.smtp_server import FakeReceiver, FakeSpool, serving

HEAD = b"Subject: x\r\n\r\n"
LOOPBACK = ip_network("127.0.0.0/8")


@pytest.mark.parametrize("beyond", [0, 1])
async def test_message_size(beyond: int) -> None:
    size = 5000
    async with serving(message_size=size) as server:
        client = await server.connect()
        body = HEAD + b"a" * 98 + b"\r\n"
        filler = size - len(body) + beyond
        content = body + b"b\r\n" * (filler // 3 - 1) + b"c" * (filler % 3 + 1) + b"\r\n"
        assert len(content) == size + beyond
        assert await client.send_message(content) == (552 if beyond else 250)
        assert await client.say("NOOP") == 250  # the session goes on
        assert server.receiver.contents == ([] if beyond else [content])


async def test_a_stuffed_dot_does_not_count_as_content() -> None:
    async with serving(message_size=len(HEAD) + 3) as server:
        client = await server.connect()
        assert await client.send_message(HEAD + b"..\r\n") == 250
        assert server.receiver.contents == [HEAD + b".\r\n"]


async def test_a_message_without_end_is_cut_off_with_a_reply() -> None:
    async with serving(message_size=1000) as server:
        client = await server.connect()
        await client.begin()
        line = b"x" * 98 + b"\r\n"
        for _ in range(12_000):
            if client.ended or client.heard:
                break
            client.write(line)
            await asyncio.sleep(0)
        assert await client.codes() in ([552], [])  # the reset that follows may overtake it
        await server.idle()
        assert server.receiver.closed == ["too large, and no end"]


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("length", [1000, 600, 2000])
async def test_line_length(beyond: int, length: int) -> None:
    async with serving(line_length=length) as server:
        client = await server.connect()
        content = HEAD + b"x" * (length - 2 + beyond) + b"\r\n"
        assert await client.send_message(content) == (500 if beyond else 250)
        assert await client.say("NOOP") == 250


@pytest.mark.parametrize("beyond", [0, 1])
@pytest.mark.parametrize("length", [1000, 512, 3000])
async def test_command_length(beyond: int, length: int) -> None:
    async with serving(command_length=length) as server:
        client = await server.connect()
        line = b"NOOP " + b"x" * (length - len("NOOP \r\n") + beyond)
        assert await client.say(line) == (500 if beyond else 250)
        assert await client.say("NOOP") == 250


async def test_a_line_too_long_that_ends_in_a_bare_lf_ends_the_connection() -> None:
    async with serving() as server:
        client = await server.connect()
        client.write(b"NOOP " + b"x" * 3000 + b"\nMAIL FROM:<>\r\n")
        assert await client.codes() == [500]


async def test_a_line_too_long_may_be_cut_anywhere() -> None:
    async with serving() as server:
        client = await server.connect()
        client.write(b"NOOP " + b"x" * 3000 + b"\r")
        await asyncio.sleep(0.01)
        client.write(b"\nNOOP\r\n")
        assert [await client.reply(), await client.reply()] == [500, 250]


async def test_the_last_of_the_errors_ends_the_session() -> None:
    async with serving(soft_errors=99, hard_errors=4) as server:
        client = await server.connect()
        assert [await client.say("BOGUS") for _ in range(3)] == [500, 500, 500]
        assert await client.say("NOOP") == 250
        client.write(b"BOGUS\r\nNOOP\r\n")
        assert await client.codes() == [500, 421]
        assert len(server.receiver.errors) == 4


async def test_a_message_that_was_taken_clears_the_count_of_errors() -> None:
    async with serving(soft_errors=99, hard_errors=3) as server:
        client = await server.connect()
        for _ in range(3):
            assert [await client.say("BOGUS") for _ in range(2)] == [500, 500]
            assert await client.send_message(HEAD) == 250


async def test_refusals_count_as_errors() -> None:
    async with serving(FakeReceiver({"RCPT": Reply(550, "5.1.1", ("Unknown",))}), hard_errors=3) as server:
        client = await server.connect()
        client.write(b"EHLO client.example\r\n")
        await client.lines()
        client.write(b"MAIL FROM:<>\r\n" + b"RCPT TO:<b@contoso.example>\r\n" * 9)
        assert await client.codes() == [250, 550, 550, 550, 421]


async def test_recipients_beyond_the_limit_are_no_errors_until_they_are_too_many() -> None:
    full = FakeReceiver({"RCPT": Reply(452, "4.5.3", ("Too many recipients",))})
    async with serving(full, hard_errors=3, soft_errors=99) as server:
        client = await server.connect()
        await client.say("EHLO client.example")
        await client.say("MAIL FROM:<>")
        client.write(b"RCPT TO:<b@contoso.example>\r\n" * 1005)
        assert await client.codes() == [452] * 1003 + [421]


async def test_from_the_soft_limit_on_errors_are_answered_late() -> None:
    delay = patient(0.4)
    async with serving(soft_errors=2, error_delay=delay) as server:
        client = await server.connect()
        took = []
        for _ in range(3):
            begun = time.monotonic()
            assert await client.say("BOGUS") == 500
            took.append(time.monotonic() - begun >= 0.9 * delay)  # uvloop counts in whole milliseconds
        assert took == [False, True, True]


async def test_junk_commands_beyond_the_limit_count_as_errors() -> None:
    async with serving(junk_commands=5, soft_errors=99, hard_errors=2) as server:
        client = await server.connect()
        junk = ["EHLO client.example", "NOOP", "RSET", "VRFY x", "HELP", "NOOP"]
        assert [await client.say(line) for line in junk] == [250, 250, 250, 252, 214, 250]
        client.write(b"NOOP\r\n")
        assert await client.codes() == [250, 421]


async def test_a_message_clears_the_count_of_junk() -> None:
    async with serving(junk_commands=2, hard_errors=1) as server:
        client = await server.connect()
        assert await client.send_message(HEAD) == 250
        for _ in range(3):
            assert [await client.say("NOOP"), await client.say("NOOP")] == [250, 250]
            assert await client.send_message(HEAD, helo="") == 250


async def test_connections() -> None:
    async with serving(connections=3) as server:
        clients = [await server.connect() for _ in range(3)]
        one_more = await server.connect(greeted=False)
        assert await one_more.codes() == [421]
        assert await clients[0].say("QUIT") == 221
        await clients[0].end()
        await asyncio.sleep(0.01)
        assert await (await server.connect()).say("NOOP") == 250


async def test_a_silent_client_is_told_goodbye_after_the_timeout() -> None:
    async with serving(command_timeout=0.1) as server:
        client = await server.connect()
        await client.say("EHLO client.example")
        assert await client.codes() == [421]
        await server.idle()
        assert server.receiver.closed == ["timeout"]


async def test_a_trickle_of_octets_does_not_put_the_timeout_off() -> None:
    async with serving(command_timeout=0.15) as server:
        client = await server.connect()
        async with asyncio.timeout(PATIENCE):
            while not client.ended:
                client.write(b"N")
                await asyncio.sleep(0.02)
        assert b"421 4.4.2 " in client.heard


async def test_each_command_has_the_whole_time() -> None:
    async with serving(command_timeout=patient(1.0)) as server:
        client = await server.connect()
        for _ in range(6):
            await asyncio.sleep(patient(0.2))
            assert await client.say("NOOP") == 250


async def test_the_client_has_a_time_between_two_pieces_of_a_message() -> None:
    async with serving(data_timeout=0.15, data_rate=0) as server:
        client = await server.connect()
        await client.begin()
        for _ in range(6):
            await asyncio.sleep(0.05)
            client.write(b"x\r\n")
        assert await client.codes() == [421]
        await server.idle()
        assert (server.receiver.contents, server.receiver.closed) == ([], ["timeout"])


async def test_a_message_below_the_least_rate_is_cut_off_however_steady() -> None:
    async with serving(data_timeout=0.3, data_rate=1000) as server:
        client = await server.connect()
        await client.begin()
        begun = time.monotonic()
        async with asyncio.timeout(PATIENCE):
            while not client.ended:
                client.write(b"x\r\n")  # 150 octets a second
                await asyncio.sleep(0.02)
        assert time.monotonic() - begun > 0.25
        assert b"421 4.4.2 " in client.heard


async def test_a_message_at_the_least_rate_may_take_longer_than_the_timeout() -> None:
    async with serving(data_timeout=0.3, data_rate=1000) as server:
        client = await server.connect()
        await client.begin()
        for _ in range(25):
            client.write(b"x" * 498 + b"\r\n")  # 500 octets in 20 ms, or in half a second of a busy machine
            await asyncio.sleep(0.02)
        client.write(b".\r\n")
        assert await client.reply() == 250


async def test_the_time_we_take_is_not_the_clients() -> None:
    receiver = FakeReceiver(commit=lambda: asyncio.sleep(0.3))
    async with serving(receiver, data_timeout=0.1, command_timeout=0.1) as server:
        client = await server.connect()
        assert await client.send_message(HEAD) == 250


@pytest.mark.parametrize("early", [b"EHLO client.example\r\n", b"\r\n", b"x"])
async def test_who_talks_before_the_greeting_is_not_greeted(early: bytes) -> None:
    proxy = proxy_header("192.0.2.7") + early
    async with serving(proxy=(LOOPBACK,)) as server:
        client = await server.connect(greeted=False)
        client.write(proxy)
        assert await client.codes() == [554]


@pytest.mark.parametrize("verb", ["EHLO client.example", "HELO client.example", "DATA"])
async def test_commands_behind_one_that_must_be_waited_for(verb: str) -> None:
    for forbidden in (True, False):
        async with serving(forbid_early_talkers=forbidden) as server:
            client = await server.connect()
            if verb == "DATA":
                await client.say("EHLO client.example")
                await client.say("MAIL FROM:<>")
                await client.say("RCPT TO:<b@contoso.example>")
            client.write(verb.encode() + b"\r\nSubject: x\r\n\r\n.\r\nQUIT\r\n")
            codes = await client.codes()
            if forbidden:
                assert codes == [554]
                assert server.receiver.contents == []
            else:
                assert codes[-1] == 221


@pytest.mark.parametrize("beyond", [0, 1])
async def test_spool_threshold(beyond: int) -> None:
    async with serving(spool_threshold=20_000, header_size=1000) as server:
        client = await server.connect()
        content = HEAD + b"x" * (20_000 - len(HEAD) - 2 + beyond - 500 * 20) + (b"\r\n" + b"y" * 498) * 20 + b"\r\n"
        content = content.replace(b"x" * 900, b"x" * 898 + b"\r\n")
        assert len(content) == 20_000 + beyond
        assert await client.send_message(content) == 250
        assert server.receiver.contents == [content]
        assert len(server.receiver.spools) == beyond


async def test_the_header_stays_in_memory_whatever_the_threshold() -> None:
    async with serving(spool_threshold=0, header_size=5000) as server:
        client = await server.connect()
        header = b"".join(b"X-%04d: %s\r\n" % (number, b"v" * 90) for number in range(49))
        content = header + b"\r\n" + b"body\r\n" * 2000
        assert await client.send_message(content) == 250
        [head] = [asked.beginning for verb, asked in server.receiver.asked if verb == "DOT"]
        assert head.startswith(header + b"\r\n")
        assert server.receiver.contents == [content]


async def test_a_full_disk_is_told_at_the_end_and_the_session_goes_on() -> None:
    async with serving(FakeReceiver(full_after=30_000), spool_threshold=0, header_size=1000) as server:
        client = await server.connect()
        assert await client.send_message(HEAD + b"body\r\n" * 8000) == 452
        assert server.receiver.spools[0].discarded >= 1
        assert await client.send_message(HEAD, helo="") == 250


@pytest.mark.parametrize("answer", [Reply(550, "5.7.1", ("No",)), Reply(452, "4.3.1", ("Full",)), Reply(250)])
async def test_the_session_lets_go_of_a_spool_whatever_the_answer(answer: Reply) -> None:
    """One that became the queue's does not mind; another may have been queued in its place."""
    async with serving(FakeReceiver({"DOT": answer}), spool_threshold=0, header_size=1000) as server:
        client = await server.connect()
        assert await client.send_message(HEAD + b"body\r\n" * 8000) == answer.code
        assert [spool.discarded for spool in server.receiver.spools] == [1]


async def test_the_spool_of_a_client_that_left_is_removed() -> None:
    async with serving(spool_threshold=0, header_size=1000) as server:
        client = await server.connect()
        await client.begin()
        client.write(HEAD + b"body\r\n" * 8000)
        async with asyncio.timeout(PATIENCE):
            while not server.receiver.spools:
                await asyncio.sleep(0.005)
        client.transport.abort()
        await server.idle()
        assert [spool.discarded for spool in server.receiver.spools] == [1]


# --- PROXY --------------------------------------------------------------------------------------------------------


def proxy_header(source: str, port: int = 4321, more: bytes = b"") -> bytes:
    body = ip_address(source).packed + ip_address("198.51.100.9").packed + port.to_bytes(2, "big") + b"\0\x19" + more
    return SIGNATURE + b"\x21\x11" + len(body).to_bytes(2, "big") + body


async def test_a_listed_balancer_says_who_the_client_is() -> None:
    async with serving(proxy=(LOOPBACK,)) as server:
        client = await server.connect(greeted=False)
        client.write(proxy_header("192.0.2.7"))
        assert await client.reply() == 220
        facts: SessionFacts = server.receiver.facts[0]
        assert (str(facts.client_ip), facts.client_port) == ("192.0.2.7", 4321)


async def test_its_header_may_come_in_pieces_but_in_time() -> None:
    async with serving(proxy=(LOOPBACK,), proxy_timeout=0.3) as server:
        client = await server.connect(greeted=False)
        await client.write_slowly(proxy_header("192.0.2.7", more=b"\x04\0\x01x"))
        assert await client.reply() == 220
        late = await server.connect(greeted=False)
        late.write(proxy_header("192.0.2.7")[:20])
        assert await late.codes() == [421]


async def test_nobody_elses_header_is_believed() -> None:
    async with serving(proxy=(ip_network("192.0.2.0/24"),)) as server:
        client = await server.connect()
        client.write(proxy_header("192.0.2.7"))
        assert set(await client.codes()) == {500}
        assert {str(facts.client_ip) for facts in server.receiver.facts} == {"127.0.0.1"}


@pytest.mark.parametrize(
    "noise", [b"EHLO client.example\r\n", SIGNATURE + b"\x31\x11\0\0", SIGNATURE + b"\x21\x11\xff\xff"]
)
async def test_a_balancer_that_sends_something_else_is_cut_off_without_a_word(noise: bytes) -> None:
    async with serving(proxy=(LOOPBACK,)) as server:
        client = await server.connect(greeted=False)
        client.write(noise)
        assert await client.end() == b""
        assert server.receiver.sessions == 0


# --- memory -------------------------------------------------------------------------------------------------------


def resident() -> int:
    """Octets of memory this process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_ten_megabytes_without_a_newline_are_not_kept() -> None:
    async with serving() as server:
        client = await server.connect()
        before = most = resident()
        for _ in range(80):
            client.write(b"x" * 131_072)
            while client.transport.get_write_buffer_size() > 262_144:
                await asyncio.sleep(0.001)
            most = max(most, resident())
        assert most - before < 4_000_000
        client.write(b"\r\n")
        assert await client.reply() == 500
        assert await client.say("NOOP") == 250


async def test_a_hundred_megabytes_beyond_the_limit_are_not_kept() -> None:
    async with serving(message_size=60_000_000, spool_threshold=10_000, header_size=1000) as server:
        server.receiver.full_after = 0
        client = await server.connect()
        await client.begin()
        before = most = resident()
        block = (b"x" * 98 + b"\r\n") * 1310
        for _ in range(770):
            client.write(block)
            while client.transport.get_write_buffer_size() > 262_144:
                await asyncio.sleep(0)
            most = max(most, resident())
        client.write(b".\r\n")
        assert await client.reply() == 552
        assert most - before < 8_000_000


async def test_many_small_packets_are_kept_as_few_pieces() -> None:
    arrived = Arrived(ServerSettings("mx.contoso.example"), FakeSpool)
    for number in range(10_000):
        await arrived.take(b"%d\r\n" % (number % 10))
    assert len(arrived._pieces) <= 513
    assert arrived.content(verbatim=False).size == 30_000
