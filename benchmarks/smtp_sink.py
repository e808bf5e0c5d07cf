"""An SMTP server that throws everything away: `python smtp_sink.py PORT COUNT [--tls PEM]`.

Ends after COUNT messages and prints one JSON line with the moment of the last.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import time

import uvloop


class Sink(asyncio.Protocol):
    """One connection; pipelining is understood."""

    context: ssl.SSLContext | None = None
    count = 0
    wanted = 0
    handshakes = 0
    done: asyncio.Future[float]

    def __init__(self) -> None:
        self.buffer = b""
        self.in_data = False
        self.secured = False
        self.upgrading = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        if not self.secured:
            transport.write(b"220 sink.test ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while self.buffer and not self.upgrading and (self._content() if self.in_data else self._command()):
            pass

    def _content(self) -> bool:
        end = self.buffer.find(b"\r\n.\r\n")
        if end < 0:
            self.buffer = self.buffer[-4:]
            return False
        self.buffer, self.in_data = self.buffer[end + 5 :], False
        Sink.count += 1
        self.transport.write(b"250 2.0.0 gone\r\n")
        if Sink.count >= Sink.wanted and not Sink.done.done():
            Sink.done.set_result(time.time())
        return True

    def _command(self) -> bool:
        line, found, rest = self.buffer.partition(b"\r\n")
        if not found:
            return False
        self.buffer = rest
        verb = line[:4].upper()
        if verb == b"DATA":
            self.in_data, self.buffer = True, b"\r\n" + rest
            self.transport.write(b"354 go on\r\n")
        elif verb == b"EHLO":
            offer = b"250-STARTTLS\r\n" if Sink.context and not self.secured else b""
            self.transport.write(b"250-sink.test\r\n" + offer + b"250-PIPELINING\r\n250 8BITMIME\r\n")
        elif verb == b"STAR":
            self.transport.write(b"220 2.0.0 ready\r\n")
            self.upgrading = self.secured = True
            self.task = asyncio.ensure_future(self._upgrade())
        elif verb == b"QUIT":
            self.transport.write(b"221 2.0.0 bye\r\n")
            self.transport.close()
        else:
            self.transport.write(b"250 2.0.0 ok\r\n")
        return True

    async def _upgrade(self) -> None:
        loop = asyncio.get_running_loop()
        self.transport = await loop.start_tls(self.transport, self, Sink.context, server_side=True)
        Sink.handshakes += 1
        self.upgrading = False
        self.data_received(b"")


async def main(options: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    Sink.done, Sink.wanted = loop.create_future(), options.count
    if options.tls:
        Sink.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        Sink.context.load_cert_chain(options.tls)
    server = await loop.create_server(Sink, "127.0.0.1", options.port, backlog=1024)
    print("ready", flush=True)
    last = None
    try:
        async with asyncio.timeout(options.seconds):
            last = await Sink.done
    except TimeoutError:
        pass
    server.close()
    print(json.dumps({"last": last, "count": Sink.count, "handshakes": Sink.handshakes}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("--tls", help="PEM with certificate and key")
    parser.add_argument("--seconds", type=float, default=300)
    uvloop.install()
    asyncio.run(main(parser.parse_args()))
