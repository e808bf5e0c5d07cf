"""Full TLS 1.3 handshakes a second (P-256 certificate) and bulk throughput of a server on our TLS layer, compared
with a bare asyncio `ssl` server in the same run, on the same event loop.

The server runs in a process of its own and its CPU time is what counts: clients are Python's `ssl` in a thread pool
of this process. Prints one JSON line; `ratio` is ours divided by ssl's, more is better.

    python benchmarks/handshakes.py [--count 2000] [--loop uvloop|asyncio] [--ask]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import resource
import socket
import ssl
import tempfile
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import ClassVar

import uvloop
from OpenSSL import SSL

from mta.adapters.pki import Authority
from mta.adapters.tls.context import server_context
from mta.adapters.tls.handshake import start_server_tls

BULK = 64 << 20
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Sink(asyncio.Protocol):
    """Answers the first octet with one, then counts."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.count % BULK == 0 or (self.count + len(data)) % BULK == 0:
            self.transport.write(b".")
        self.count += len(data)


class Accept(asyncio.Protocol):
    tasks: ClassVar[set[asyncio.Task[None]]] = set()
    context: ClassVar[SSL.Context]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        app = Sink()
        task = asyncio.get_running_loop().create_task(
            self.switch(app, start_server_tls(transport, app, self.context, timeout=30))
        )
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def switch(self, app, started) -> None:
        app.transport = await started


def serve(kind: str, loop: str, pair: tuple[Path, Path], ask: bool, pipe: Connection) -> None:
    async def main() -> None:
        running = asyncio.get_running_loop()
        if kind == "ssl":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*pair)
            server = await running.create_server(Sink, "127.0.0.1", 0, ssl=context, backlog=512)
        else:
            Accept.context = server_context(*pair, ask_client=ask)
            server = await running.create_server(Accept, "127.0.0.1", 0, backlog=512)
        pipe.send(server.sockets[0].getsockname()[1])
        while await running.run_in_executor(None, pipe.recv):
            used = resource.getrusage(resource.RUSAGE_SELF)
            pipe.send(used.ru_utime + used.ru_stime)

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(main())


class Server:
    def __init__(self, kind: str, loop: str, pair: tuple[Path, Path], ask: bool) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(kind, loop, pair, ask, theirs), daemon=True
        )
        self.process.start()
        self.port = self.pipe.recv()

    def cpu(self) -> float:
        self.pipe.send(True)
        return self.pipe.recv()

    def close(self) -> None:
        self.pipe.send(False)
        self.process.join(10)


def greet(port: int, context: ssl.SSLContext) -> None:
    with socket.create_connection(("127.0.0.1", port)) as raw, context.wrap_socket(raw) as tls:
        tls.sendall(b"x")
        tls.recv(1)


def bulk(port: int, context: ssl.SSLContext) -> None:
    piece = bytes(65_536)
    with socket.create_connection(("127.0.0.1", port)) as raw, context.wrap_socket(raw) as tls:
        for _ in range(BULK // len(piece)):
            tls.sendall(piece)
        tls.recv(2)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--loop", choices=LOOPS, default="uvloop")
    parser.add_argument("--ask", action="store_true", help="ours asks for client certificates, and gets one")
    settings = parser.parse_args()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    handshakes, megabytes = {"ssl": 0.0, "mta": 0.0}, {"ssl": 0.0, "mta": 0.0}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(4) as pool:
        issued = Authority("Benchmark CA").issue(dns_names=["mx.example"])
        pair = issued.write(Path(folder), "mx")
        if settings.ask:
            context.load_cert_chain(*pair)
        servers = {kind: Server(kind, settings.loop, pair, settings.ask) for kind in handshakes}
        for _ in range(4):  # in turns, so that a busy machine hits both alike
            for kind, server in servers.items():
                before = server.cpu()
                list(pool.map(lambda _, port=server.port: greet(port, context), range(settings.count // 4)))
                between = server.cpu()
                bulk(server.port, context)
                handshakes[kind] += between - before
                megabytes[kind] += server.cpu() - between
        for server in servers.values():
            server.close()
    rates = {kind: settings.count // 4 * 4 / seconds for kind, seconds in handshakes.items()}
    speeds = {kind: 4 * BULK / 1e6 / seconds for kind, seconds in megabytes.items()}
    report = {
        "benchmark": "handshakes",
        "loop": settings.loop,
        "client_certificates": settings.ask,
        "ssl_per_cpu_second": round(rates["ssl"]),
        "mta_per_cpu_second": round(rates["mta"]),
        "ratio": round(rates["mta"] / rates["ssl"], 2),
        "ssl_receive_mb_per_cpu_second": round(speeds["ssl"]),
        "mta_receive_mb_per_cpu_second": round(speeds["mta"]),
        "receive_ratio": round(speeds["mta"] / speeds["ssl"], 2),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
