"""TLS between a transport and a protocol, against itself and against Python's own `ssl`, on both event loops."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import ssl
import warnings
from collections.abc import Iterator

import pytest

from mta.adapters.tls.context import client_context, server_context
from mta.adapters.tls.handshake import start_client_tls, start_server_tls
from mta.errors import TlsFailed
from tests.support.patience import PATIENCE
from tests.support.pki import Authority, facts, self_signed
from tests.support.tls import MemoryTransport, Recorder, connect, listening
from tests.unit.adapters.tls.conftest import HOST, Run, World

EKU_SERVER = "1.3.6.1.5.5.7.3.1"


# --- handshakes and their facts


def test_both_ends_know_the_version_cipher_group_and_the_name_asked_for(run: Run, world: World) -> None:
    async def story() -> None:
        async with listening(world.asking) as listener:
            client = await connect(listener.port, world.client, sni=HOST)
            server = await listener.next()
            for end in (client, server):
                assert (end.facts.version, end.facts.group, end.facts.sni) == ("1.3", "X25519MLKEM768", HOST)
                assert end.facts.cipher.startswith("TLS_")
            assert client.facts.chain == facts(world.host)
            assert server.facts.chain == ()
            assert client.transport.get_extra_info("peername")[1] == listener.port

    run(story())


def test_a_client_of_python_ssl_is_served(run: Run, world: World) -> None:
    async def story() -> None:
        async with listening(world.plain, lambda: Recorder(echo=True)) as listener:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", listener.port, ssl=world.ssl_client(), server_hostname=HOST
            )
            writer.write(b"EHLO x\r\n")
            assert await reader.readexactly(8) == b"EHLO x\r\n"
            server = await listener.next()
            assert (server.facts.sni, server.facts.version) == (HOST, "1.3")
            writer.close()
            await server.until(server.lost.done)
            assert server.lost.result() is None

    run(story())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_server_of_python_ssl_is_used_as_client(run: Run, world: World, version: ssl.TLSVersion) -> None:
    async def story() -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.readexactly(5))
            writer.close()

        server = await asyncio.start_server(
            echo, "127.0.0.1", 0, ssl=world.ssl_server(minimum_version=version, maximum_version=version)
        )
        client = await connect(server.sockets[0].getsockname()[1], world.client, sni=HOST)
        client.transport.write(b"hello")
        await client.until(client.lost.done)
        assert client.received == b"hello"
        assert client.facts.version == {771: "1.2", 772: "1.3"}[version.value]
        assert client.facts.chain == facts(world.host)
        server.close()

    run(story())


def test_a_full_client_chain_is_shown_leaf_first(run: Run, world: World) -> None:
    partner = Authority("Fabrikam Root").intermediate("Fabrikam Mail CA").issue(dns_names=["mail.fabrikam.example"])
    ours = client_context(certificate=world.pem(partner, "fabrikam"))

    async def story() -> None:
        async with listening(world.asking) as listener:
            await connect(listener.port, ours)
            server = await listener.next()
            assert server.facts.chain == facts(partner)
            assert server.facts.leaf.dns_names == ("mail.fabrikam.example",)

    run(story())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("kind", ["unknown CA", "expired", "not yet valid", "server only", "self-signed", "forged"])
def test_a_client_certificate_that_is_no_good_finishes_the_handshake_and_is_shown(
    run: Run, world: World, kind: str, version: ssl.TLSVersion
) -> None:
    stranger = Authority("A Stranger's CA")
    wishes = {"dns_names": ["mail.stranger.example"]}
    issued = {
        "unknown CA": lambda: stranger.issue(**wishes),
        "expired": lambda: stranger.issue_expired(**wishes),
        "not yet valid": lambda: stranger.issue_early(**wishes),
        "server only": lambda: stranger.issue(eku=["serverAuth"], **wishes),
        "self-signed": lambda: self_signed(**wishes),
        "forged": lambda: Authority("Contoso Root CA").issue(**wishes),
    }[kind]()

    async def story() -> None:
        async with listening(world.asking, lambda: Recorder(echo=True)) as listener:
            reader, writer = await asyncio.open_connection(
                *("127.0.0.1", listener.port),
                ssl=world.ssl_client(issued, maximum_version=version),
                server_hostname=HOST,
            )
            server = await listener.next()
            assert isinstance(server, Recorder)
            assert server.facts.chain == facts(issued)
            if kind == "server only":
                assert server.facts.leaf.key_usage_oids == (EKU_SERVER,)
            writer.write(b"NOOP\r\n")
            assert await reader.readexactly(6) == b"NOOP\r\n"
            writer.close()

    run(story())


def test_a_listener_that_does_not_ask_sees_no_certificate(run: Run, world: World) -> None:
    issued = world.ca.issue(dns_names=["mail.fabrikam.example"])

    async def story() -> None:
        async with listening(world.plain) as listener:
            await connect(listener.port, client_context(certificate=world.pem(issued)))
            assert (await listener.next()).facts.chain == ()

    run(story())


# --- handshakes that fail


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_versions_of_tls_are_refused(run: Run, world: World, version: ssl.TLSVersion) -> None:
    old = world.ssl_client()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = old.maximum_version = version

    async def story() -> None:
        async with listening(world.plain) as listener:
            with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
                await asyncio.open_connection("127.0.0.1", listener.port, ssl=old, server_hostname=HOST)
            assert str(await listener.next()) == "unsupported protocol"

    run(story())


def test_a_minimum_of_tls_1_3_is_kept(run: Run, world: World) -> None:
    strict = server_context(*world.pair, ask_client=False, min_version="1.3")

    async def story() -> None:
        async with listening(strict) as listener:
            with pytest.raises(ssl.SSLError):
                await asyncio.open_connection(
                    *("127.0.0.1", listener.port),
                    ssl=world.ssl_client(maximum_version=ssl.TLSVersion.TLSv1_2),
                    server_hostname=HOST,
                )
            assert isinstance(await listener.next(), TlsFailed)

    run(story())


def test_garbage_instead_of_a_client_hello_fails_with_openssls_words(run: Run, world: World) -> None:
    async def story() -> None:
        async with listening(world.plain) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(b"EHLO not-tls.example\r\n")
            error = await listener.next()
            assert isinstance(error, TlsFailed)
            assert "packet length too long" in str(error) or "wrong version number" in str(error)
            assert len(await reader.read()) < 20  # at most an alert, then the end
            await listener.applications[0].until(listener.applications[0].lost.done)
            writer.close()

    run(story())


def test_a_server_that_answers_in_clear_fails_the_client(run: Run, world: World) -> None:
    async def story() -> None:
        async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mx.example ESMTP and nothing else\r\n")
            await reader.read()
            writer.close()

        server = await asyncio.start_server(banner, "127.0.0.1", 0)
        app = Recorder()
        with pytest.raises(TlsFailed, match=r"wrong version number|packet length"):
            await connect(server.sockets[0].getsockname()[1], world.client, app)
        await app.until(app.lost.done)
        server.close()

    run(story())


def test_a_peer_that_says_nothing_times_out(run: Run, world: World) -> None:
    async def story() -> None:
        async with listening(world.plain, timeout=0.05) as listener:
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            assert str(await listener.next()) == "timed out"
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()

    run(story())


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
def test_a_peer_that_leaves_in_mid_handshake_is_told_apart_from_a_timeout(run: Run, world: World, reset: bool) -> None:
    async def story() -> None:
        async with listening(world.plain) as listener:
            _, writer = await asyncio.open_connection("127.0.0.1", listener.port)
            writer.write(b"\x16\x03\x01\x02\x00\x01")
            await asyncio.sleep(0)
            if reset:
                linger = b"\x01\0\0\0\0\0\0\0"
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.close()
            error = await listener.next()
            assert str(error).startswith("connection lost" if reset else "closed by the peer")

    run(story())


def test_a_transport_that_is_closed_already_fails_at_once(run: Run, world: World) -> None:
    async def story() -> None:
        raw = MemoryTransport()
        raw.protocol = Recorder()
        raw.close()
        with pytest.raises(TlsFailed, match="closed by the peer"):
            await start_server_tls(raw, raw.protocol, world.plain, timeout=1)

    run(story())


def test_cancelling_a_handshake_closes_the_connection(run: Run, world: World) -> None:
    async def story() -> None:
        raw, app = MemoryTransport(), Recorder()
        task = asyncio.ensure_future(start_client_tls(raw, app, world.client, sni=HOST, timeout=5))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await app.until(app.lost.done)
        assert raw.closed

    run(story())


def _insist(listener: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(ssl.SSLError), listener.accept()[0] as raw:
        context.wrap_socket(raw, server_side=True)


def test_a_server_that_insists_on_a_certificate_is_heard_after_the_handshake(run: Run, world: World) -> None:
    async def story() -> None:
        strict = world.ssl_server(verify_mode=ssl.CERT_REQUIRED)
        strict.load_verify_locations(world.ca_path)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = asyncio.ensure_future(asyncio.to_thread(_insist, listener, strict))
            client = await connect(listener.getsockname()[1], world.client)
            await client.until(client.lost.done)  # RFC 8446 §4.4.2.4: the alert comes after the client has finished
            await server
        assert isinstance(client.lost.result(), TlsFailed)
        assert "certificate required" in str(client.lost.result())

    run(story())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_weak_keys_of_strangers_do_not_end_the_handshake(run: Run, world: World, version: ssl.TLSVersion) -> None:
    weak = self_signed(dns_names=["old.example"], key="rsa-1024")
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.set_ciphers("ALL:@SECLEVEL=0")
    theirs.maximum_version = version
    theirs.load_cert_chain(*world.pem(weak, "weak"))
    own = ssl.create_default_context(cafile=world.ca_path)
    own.set_ciphers("ALL:@SECLEVEL=0")
    own.maximum_version = version
    own.load_cert_chain(*world.pem(weak, "weak"))

    async def story() -> None:
        server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0, ssl=theirs)
        client = await connect(server.sockets[0].getsockname()[1], world.client)
        assert client.facts.leaf.key == "rsa-1024"
        client.transport.abort()
        server.close()
        async with listening(world.asking) as listener:
            _, writer = await asyncio.open_connection("127.0.0.1", listener.port, ssl=own, server_hostname=HOST)
            assert (await listener.next()).facts.leaf.key == "rsa-1024"
            writer.close()

    run(story())


# --- in memory, where a test decides which bytes arrive together


class Pair:
    """Our client and our server in memory, handshake done."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.raw_client, self.raw_server = MemoryTransport(), MemoryTransport()
        self.client, self.server = Recorder(), Recorder()

    async def shake_hands(self, step: int) -> None:
        """Carry `step` octets at a time."""
        tasks = [
            asyncio.ensure_future(start_server_tls(self.raw_server, self.server, self.world.asking, timeout=5)),
            asyncio.ensure_future(start_client_tls(self.raw_client, self.client, self.world.client, sni="", timeout=5)),
        ]
        for _ in range(20):
            await asyncio.sleep(0)
            self.carry(step)
        self.server.transport, self.client.transport = await asyncio.gather(*tasks)
        await asyncio.sleep(0)

    def carry(self, step: int = 1 << 20) -> None:
        for source, target in ((self.raw_client, self.raw_server), (self.raw_server, self.raw_client)):
            if target.protocol:
                for piece in _pieces(source.take(), step):
                    target.protocol.data_received(piece)


def _pieces(data: bytes, step: int) -> Iterator[bytes]:
    return (data[start : start + step] for start in range(0, len(data), step))


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_how_the_bytes_are_cut_makes_no_difference(run: Run, world: World, step: int) -> None:
    async def story() -> None:
        pair = Pair(world)
        await pair.shake_hands(step)
        pair.client.transport.write(b"a" * 40_000)
        pair.server.transport.writelines([b"220 ", b"ready\r\n"])
        pair.carry(step)
        assert pair.server.received == b"a" * 40_000
        assert pair.client.received == b"220 ready\r\n"
        assert pair.client.connected == 0

    run(story())


def test_data_in_one_segment_with_the_end_of_the_handshake_arrives_after_the_switch(run: Run, world: World) -> None:
    async def story() -> None:
        pair, switched = Pair(world), []

        async def serve() -> None:
            pair.server.transport = await start_server_tls(pair.raw_server, pair.server, world.plain, timeout=5)
            switched.append(bytes(pair.server.received))

        task = asyncio.ensure_future(serve())
        client_task = asyncio.ensure_future(
            start_client_tls(pair.raw_client, pair.client, world.client, sni="", timeout=5)
        )
        await asyncio.sleep(0)
        pair.raw_server.protocol.data_received(pair.raw_client.take())
        pair.raw_client.protocol.data_received(pair.raw_server.take())
        client = await client_task
        client.write(b"EHLO early.example\r\n")
        pair.raw_server.protocol.data_received(pair.raw_client.take())  # Finished and EHLO together
        assert pair.server.received == b""
        await task
        await asyncio.sleep(0)
        assert switched == [b""]
        assert pair.server.received == b"EHLO early.example\r\n"

    run(story())


def test_a_paused_application_gets_nothing_until_it_resumes(run: Run, world: World) -> None:
    async def story() -> None:
        pair = Pair(world)
        await pair.shake_hands(1 << 20)
        pair.server.transport.pause_reading()
        assert not pair.raw_server.reading
        pair.client.transport.write(b"x" * 50_000)
        pair.client.transport.close()
        pair.carry()
        assert (pair.server.received, pair.server.eof) == (b"", False)
        assert not pair.server.transport.is_reading()
        pair.server.transport.resume_reading()
        await pair.server.until(lambda: pair.server.eof)
        assert pair.server.received == b"x" * 50_000

    run(story())


def test_ciphertext_is_read_on_only_when_the_application_took_what_is_there(run: Run, world: World) -> None:
    """Else more came in with each turn than the application takes, and a slow one held it all in memory."""

    async def story() -> None:
        pair = Pair(world)
        await pair.shake_hands(1 << 20)
        received = pair.server.received

        def take_some(data: bytes) -> None:
            received.extend(data)
            if len(received) % 65_536 == 0:
                pair.server.transport.pause_reading()

        pair.server.data_received = take_some  # type: ignore[method-assign]
        pair.client.transport.write(b"x" * 150_000)
        pair.carry()
        reading = []
        while len(received) < 150_000:
            reading.append(pair.raw_server.reading)
            pair.server.transport.resume_reading()
            reading.append(pair.raw_server.reading)
            await asyncio.sleep(0)
        assert reading == [False] * 4
        assert pair.raw_server.reading

    run(story())


def test_tcps_end_is_told_after_what_a_paused_application_has_not_seen_yet(run: Run, world: World) -> None:
    async def story() -> None:
        pair = Pair(world)
        await pair.shake_hands(1 << 20)
        pair.server.transport.pause_reading()
        pair.client.transport.write(b"QUIT\r\n")
        pair.carry()
        assert pair.raw_server.protocol.eof_received()
        assert not pair.server.eof
        pair.server.transport.resume_reading()
        await pair.server.until(lambda: pair.server.eof)
        assert pair.server.received == b"QUIT\r\n"
        await pair.server.until(pair.server.lost.done)

    run(story())


def test_pausing_while_data_is_delivered_stops_after_that_record(run: Run, world: World) -> None:
    async def story() -> None:
        pair = Pair(world)
        await pair.shake_hands(1 << 20)
        pair.server.data_received = lambda data: (  # type: ignore[method-assign]
            pair.server.received.extend(data),
            pair.server.transport.pause_reading(),
        )
        pair.client.transport.write(b"x" * 50_000)
        pair.carry()
        assert len(pair.server.received) == 16_384

    run(story())


@pytest.mark.parametrize("politely", [True, False], ids=["close_notify", "only TCP's end"])
def test_after_the_peers_end_an_application_that_wishes_may_still_answer(
    run: Run, world: World, politely: bool
) -> None:
    async def story() -> None:
        pair = Pair(world)
        pair.server = Recorder(keep_open=True)
        await pair.shake_hands(1 << 20)
        if politely:
            pair.client._layer = pair.client.transport._layer  # close_notify without closing our reading side
            pair.client._layer._connection.shutdown()
            pair.client._layer._flush()
            pair.carry()
        else:
            pair.raw_server.protocol.eof_received()
        assert pair.server.eof
        pair.server.transport.write(b"250 queued\r\n")
        pair.carry()
        assert pair.client.received == b"250 queued\r\n"
        assert not pair.server.transport.is_closing()

    run(story())


def test_after_the_peers_end_the_connection_is_closed_by_default(run: Run, world: World) -> None:
    async def story() -> None:
        pair = Pair(world)
        await pair.shake_hands(1 << 20)
        pair.client.transport.close()
        pair.client.transport.write(b"too late")
        pair.carry()
        await pair.server.until(pair.server.lost.done)
        assert pair.server.eof
        assert pair.server.lost.result() is None
        assert pair.server.received == b""
        pair.server.transport.write(b"nobody hears")
        pair.server.transport.close()
        pair.server.transport.abort()

    run(story())


def test_a_record_that_was_tampered_with_ends_the_connection(run: Run, world: World) -> None:
    async def story() -> None:
        pair = Pair(world)
        await pair.shake_hands(1 << 20)
        pair.client.transport.write(b"MAIL FROM:<a@x.example>\r\n")
        record = bytearray(pair.raw_client.take())
        record[-1] ^= 1
        pair.raw_server.protocol.data_received(bytes(record))
        await pair.server.until(pair.server.lost.done)
        assert isinstance(pair.server.lost.result(), TlsFailed)
        assert "bad record mac" in str(pair.server.lost.result())
        assert pair.server.received == b""
        assert len(pair.raw_server.take()) > 0  # the alert

    run(story())


# --- large transfers


def test_ten_mebibytes_flow_both_ways_with_pauses_on_both_sides(run: Run, world: World) -> None:
    there, back = os.urandom(10 << 20), os.urandom(10 << 20)

    class Slow(Recorder):
        """Pauses again and again, as a StreamReader with a full buffer does."""

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if len(self.received) % 5 == 0:
                self.transport.pause_reading()
                asyncio.get_running_loop().call_soon(self.transport.resume_reading)

    async def story() -> None:
        async with listening(world.plain, Slow) as listener:
            client = await connect(listener.port, world.client, Slow())
            server = await listener.next()
            await asyncio.gather(client.send(there), server.send(back))
            await client.until(lambda: len(client.received) >= len(back))
            await server.until(lambda: len(server.received) >= len(there))
            assert hashlib.sha256(client.received).digest() == hashlib.sha256(back).digest()
            assert hashlib.sha256(server.received).digest() == hashlib.sha256(there).digest()
            assert client.pauses + server.pauses > 0

    run(story())


def test_a_reader_that_stops_stops_the_writer(run: Run, world: World) -> None:
    async def story() -> None:
        async with listening(world.plain) as listener:
            client = await connect(listener.port, world.client)
            server = await listener.next()
            server.transport.pause_reading()
            sending = asyncio.ensure_future(client.send(b"x" * (32 << 20)))
            async with asyncio.timeout(PATIENCE):
                while client.can_write.is_set():
                    await asyncio.sleep(0)
            assert not sending.done()
            assert client.transport.get_write_buffer_size() > 0
            sending.cancel()
            client.transport.abort()
            await client.until(client.lost.done)

    run(story())


def test_what_was_written_before_close_arrives(run: Run, world: World) -> None:
    async def story() -> None:
        async with listening(world.plain) as listener:
            client = await connect(listener.port, world.client)
            server = await listener.next()
            client.transport.write(bytearray(b"y" * (4 << 20)))
            client.transport.close()
            await server.until(server.lost.done)
            assert server.received == b"y" * (4 << 20)
            assert server.eof

    run(story())


# --- resumption


def _resumed(port: int, context: ssl.SSLContext) -> bool | None:
    """Connect twice, offering the first session to the second."""
    session = reused = None
    for _ in range(2):
        with (
            socket.create_connection(("127.0.0.1", port)) as raw,
            context.wrap_socket(raw, server_hostname=HOST, session=session) as tls,
        ):
            tls.sendall(b"x")
            tls.recv(1)  # a ticket of TLS 1.3 comes before the echo
            session, reused = tls.session, tls.session_reused
    return reused


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("asks", [True, False])
def test_sessions_are_resumed_only_where_no_certificate_is_asked_for(
    run: Run, world: World, asks: bool, version: ssl.TLSVersion
) -> None:
    context = world.ssl_client(world.ca.issue(dns_names=["c.example"]), maximum_version=version)

    async def story() -> None:
        async with listening(world.asking if asks else world.plain, lambda: Recorder(echo=True)) as listener:
            assert await asyncio.to_thread(_resumed, listener.port, context) is (not asks)
            for _ in range(2):
                assert bool((await listener.next()).facts.chain) is asks

    run(story())
