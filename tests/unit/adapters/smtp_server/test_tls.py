"""STARTTLS and implicit TLS through the server: what is forgotten, what closes, what is known afterwards."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from OpenSSL import SSL

from mta.adapters.smtp_server import protocol
from mta.adapters.tls.context import client_context, server_context
from tests.support.pki import authority
from tests.support.smtp_server import FakeReceiver, serving
from tests.unit.adapters.smtp_server.test_limits import LOOPBACK, proxy_header
from tests.unit.adapters.smtp_server.test_wire import CONTENT, GROUP, MESSAGE


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> SSL.Context:
    folder = tmp_path_factory.mktemp("server")
    chain, key = authority("Contoso Root").issue(dns_names=["mx.contoso.example"]).write(folder, "mx")
    return server_context(Path(chain), Path(key), ask_client=True)


@pytest.fixture(scope="module")
def partner(tmp_path_factory: pytest.TempPathFactory) -> SSL.Context:
    folder = tmp_path_factory.mktemp("client")
    chain, key = authority("Fabrikam Root").issue(dns_names=["mail.fabrikam.example"]).write(folder, "mail")
    return client_context(certificate=(Path(chain), Path(key)))


@pytest.fixture(autouse=True)
def no_handshake_is_left() -> Iterator[None]:
    yield
    assert not protocol._handshakes


async def test_starttls_gives_a_fresh_session_with_facts(tls: SSL.Context, partner: SSL.Context) -> None:
    async with serving(tls=tls) as server:
        client = await server.connect()
        client.write(b"EHLO clear.example\r\n")
        assert "250-STARTTLS" in await client.lines()
        assert await client.say("MAIL FROM:<evil@fabrikam.example>") == 250
        assert await client.say("RCPT TO:<b@contoso.example>") == 250
        assert await client.say("STARTTLS") == 220
        await client.start_tls(partner)
        for line in ("MAIL FROM:<a@fabrikam.example>", "RCPT TO:<b@contoso.example>", "DATA"):
            assert await client.say(line) == 503  # RFC 3207 §4.2: nothing said in clear counts
        client.write(b"EHLO safe.example\r\n")
        assert "STARTTLS" not in " ".join(await client.lines())
        assert await client.send_message(MESSAGE, helo="") == 250
        facts = server.receiver.facts[-1]
        assert facts.helo == "safe.example"
        assert facts.tls is not None
        assert facts.tls.version == "1.3"
        assert facts.tls.leaf is not None
        assert facts.tls.leaf.dns_names == ("mail.fabrikam.example",)
        assert server.receiver.contents == [CONTENT]
        assert [event["event"] for event in server.events()] == ["tls.established"]


async def test_a_second_starttls_is_refused(tls: SSL.Context, partner: SSL.Context) -> None:
    async with serving(tls=tls) as server:
        client = await server.connect()
        assert await client.say("STARTTLS") == 220
        await client.start_tls(partner)
        assert await client.say("EHLO client.example") == 250
        assert await client.say("STARTTLS") == 503
        assert await client.send_message(MESSAGE) == 250


@pytest.mark.parametrize("behind", [b"MAIL FROM:<evil@fabrikam.example>\r\n", b"\r\n", b"x", b"\x16\x03\x01"])
@pytest.mark.parametrize("forbidden", [True, False])
async def test_bytes_behind_starttls_close_the_connection(tls: SSL.Context, behind: bytes, forbidden: bool) -> None:
    async with serving(tls=tls, forbid_early_talkers=forbidden) as server:
        client = await server.connect()
        await client.say("EHLO client.example")
        client.write(b"STARTTLS\r\n" + behind)
        assert await client.end() == b""
        await server.idle()
        assert server.receiver.envelopes == []
        assert server.receiver.closed == ["bytes behind STARTTLS"]


@pytest.mark.parametrize("line", ["STARTTLS now", "STARTTLS 1"])
async def test_starttls_takes_no_parameter(tls: SSL.Context, line: str) -> None:
    async with serving(tls=tls) as server:
        client = await server.connect()
        assert await client.say(line) == 501
        assert await client.say("NOOP") == 250


@pytest.mark.parametrize("implicit", [True, False])
async def test_a_handshake_that_fails_ends_the_session(tls: SSL.Context, implicit: bool) -> None:
    async with serving(tls=tls, implicit_tls=implicit) as server:
        client = await server.connect(greeted=not implicit)
        if not implicit:
            assert await client.say("STARTTLS") == 220
        client.write(b"EHLO client.example\r\nMAIL FROM:<>\r\n")
        assert b"250" not in await client.end()
        await server.idle()
        assert server.receiver.envelopes == []
        assert [event["event"] for event in server.events()] == ["tls.failed"]


@pytest.mark.parametrize("implicit", [True, False])
async def test_a_handshake_has_its_time(tls: SSL.Context, implicit: bool) -> None:
    async with serving(tls=tls, implicit_tls=implicit, tls_timeout=0.1) as server:
        client = await server.connect(greeted=not implicit)
        if not implicit:
            assert await client.say("STARTTLS") == 220
        assert await client.end() == b""


async def test_implicit_tls(tls: SSL.Context, partner: SSL.Context) -> None:
    async with serving(tls=tls, implicit_tls=True) as server:
        client = await server.connect(greeted=False)
        await client.start_tls(partner)
        assert await client.reply() == 220
        assert await client.say("STARTTLS") == 503
        assert await client.send_message(MESSAGE) == 250
        assert await client.say("QUIT") == 221
        assert await client.end() == b""
        assert server.receiver.facts[0].tls is not None  # known before anything was decided


async def test_implicit_tls_behind_a_balancer(tls: SSL.Context, partner: SSL.Context) -> None:
    async with serving(tls=tls, implicit_tls=True, proxy=(LOOPBACK,)) as server:
        client = await server.connect(greeted=False)
        client.write(proxy_header("192.0.2.7"))
        await client.start_tls(partner)
        assert await client.reply() == 220
        assert str(server.receiver.facts[0].client_ip) == "192.0.2.7"
        assert await client.send_message(MESSAGE) == 250


async def test_the_handshakes_of_one_client_are_few_at_a_time(tls: SSL.Context, partner: SSL.Context) -> None:
    async with serving(tls=tls, implicit_tls=True, connections_per_client=2) as server:
        first, second = [await server.connect(greeted=False) for _ in range(2)]
        third = await server.connect(greeted=False)
        assert await third.end() == b""
        await first.start_tls(partner)
        assert await first.reply() == 220  # done: it counts no more
        fourth = await server.connect(greeted=False)
        await fourth.start_tls(partner)
        assert await fourth.reply() == 220
        second.transport.abort()


async def test_a_shutdown_in_the_handshake_says_nothing_in_clear(tls: SSL.Context) -> None:
    async with serving(tls=tls, implicit_tls=True) as server:
        client = await server.connect(greeted=False)
        await asyncio.sleep(0.02)
        for connection in tuple(server.open):
            connection.shut_down()
        assert await client.end() == b""


async def test_a_shutdown_is_told_through_tls(tls: SSL.Context, partner: SSL.Context) -> None:
    async with serving(tls=tls, implicit_tls=True) as server:
        client = await server.connect(greeted=False)
        await client.start_tls(partner)
        assert await client.reply() == 220
        for connection in tuple(server.open):
            connection.shut_down()
        assert await client.codes() == [421]


async def test_a_large_message_through_tls(tls: SSL.Context, partner: SSL.Context) -> None:
    """Reading is paused and resumed by the transport that TLS put in the place of the first."""
    async with serving(tls=tls, spool_threshold=100_000) as server:
        client = await server.connect()
        assert await client.say("STARTTLS") == 220
        await client.start_tls(partner)
        body = (b"x" * 98 + b"\r\n") * 50_000
        assert await client.send_message(MESSAGE + body) == 250
        assert server.receiver.contents == [CONTENT + body]


async def test_a_tls_client_that_closes_its_side_after_the_dot_hears_its_250(
    tls: SSL.Context, partner: SSL.Context
) -> None:
    gate = asyncio.Event()
    async with serving(FakeReceiver(commit=gate.wait), tls=tls) as server:
        client = await server.connect()
        assert await client.say("STARTTLS") == 220
        await client.start_tls(partner)
        await client.begin()
        client.write(MESSAGE + b".\r\n")
        with socket.socket(fileno=os.dup(client.transport.get_extra_info("socket").fileno())) as same:
            same.shutdown(socket.SHUT_WR)
        await asyncio.sleep(0.03)
        gate.set()
        assert await client.codes() == [250]
        assert server.receiver.contents == [CONTENT]


async def test_pipelining_through_tls(tls: SSL.Context, partner: SSL.Context) -> None:
    async with serving(tls=tls) as server:
        client = await server.connect()
        assert await client.say("STARTTLS") == 220
        await client.start_tls(partner)
        assert await client.say("EHLO client.example") == 250
        client.writes = 0
        client.write(GROUP)
        assert [await client.reply() for _ in range(4)] == [250, 250, 250, 354]
        assert client.writes == 1
