"""An SMTP client that sends as fast as it may: `python smtp_load.py HOST:PORT --messages N [--tls] [--keep] ...`.

Lock-step like most mail software (no pipelining); TLS by Python's `ssl` on uvloop. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import ssl
import time
from pathlib import Path

import uvloop

LINE = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdef\r\n"


def message(size: int) -> bytes:
    """A message of about `size` octets, ready to be sent after DATA."""
    header = b"From: <a@example.test>\r\nTo: <b@example.test>\r\nDate: Mon, 23 Nov 2026 19:00:00 +0000\r\n\r\n"
    return header + (LINE * (size // len(LINE) + 1))[:size] + b"\r\n.\r\n"


class Client(asyncio.Protocol):
    """Sends a command, waits for the last line of its reply."""

    def __init__(self) -> None:
        self.buffer = b""
        self.waiter: asyncio.Future[bytes] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self._deliver()

    def connection_lost(self, error: Exception | None) -> None:
        if self.waiter and not self.waiter.done():
            self.waiter.set_exception(ConnectionError("connection lost"))

    def _deliver(self) -> None:
        if self.waiter is None or self.waiter.done() or not self.buffer.endswith(b"\r\n"):
            return
        last = self.buffer[:-2].rpartition(b"\n")[2]
        if last[3:4] != b"-":
            self.buffer = b""
            self.waiter.set_result(last)

    async def say(self, data: bytes, expected: bytes) -> None:
        if data:
            self.transport.write(data)
        self.waiter = asyncio.get_running_loop().create_future()
        self._deliver()
        reply = await self.waiter
        if not reply.startswith(expected):
            raise RuntimeError(reply.decode())


async def session(options: argparse.Namespace, left: list[int], body: bytes, context: ssl.SSLContext) -> None:
    loop = asyncio.get_running_loop()
    client: Client | None = None
    while left[0] > 0:
        left[0] -= 1
        if client is None:
            _, client = await loop.create_connection(Client, options.host, options.port)
            await client.say(b"", b"220")
            await client.say(b"EHLO load.test\r\n", b"250")
            if options.tls:
                await client.say(b"STARTTLS\r\n", b"220")
                client.transport = await loop.start_tls(client.transport, client, context)
                await client.say(b"EHLO load.test\r\n", b"250")
        await client.say(f"MAIL FROM:<{options.sender}>\r\n".encode(), b"250")
        await client.say(f"RCPT TO:<{options.to}>\r\n".encode(), b"250")
        await client.say(b"DATA\r\n", b"354")
        await client.say(body, b"250")
        if not options.keep:
            await client.say(b"QUIT\r\n", b"221")
            client.transport.close()
            client = None
    if client:
        client.transport.close()


async def main(options: argparse.Namespace) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if options.certificate:
        context.load_cert_chain(options.certificate)
    body = Path(options.file).read_bytes() + b".\r\n" if options.file else message(options.size)
    left, begun = [options.messages], time.time()
    work = [session(options, left, body, context) for _ in range(options.sessions)]
    async with asyncio.timeout(options.seconds):
        await asyncio.gather(*work)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"begun": begun, "ended": time.time(), "cpu": used.ru_utime + used.ru_stime}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=20)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--keep", action="store_true", help="many messages per session")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--certificate", help="PEM with certificate and key that the client shows")
    parser.add_argument("--file", help="a message with CRLF line ends and no line that begins with a dot")
    parser.add_argument("--sender", default="a@example.test")
    parser.add_argument("--to", default="b@example.test")
    parser.add_argument("--seconds", type=float, default=300)
    given = parser.parse_args()
    given.host, _, port = given.address.rpartition(":")
    given.port = int(port)
    uvloop.install()
    asyncio.run(main(given))
