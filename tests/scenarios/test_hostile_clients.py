"""Clients that mean ill, against the real process: trickles in thousands, no descriptor left, garbage of all kinds."""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.support.client import client, send
from tests.support.contoso import Company, contoso
from tests.support.patience import PATIENCE, patient
from tests.support.running_mta import RunningMta, until

LORISES = 2000
SENDER, RECIPIENT = "a@elsewhere.example", "b@contoso.example"


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Room for the connections of a story, in this process and in the relay it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = LORISES + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"a process may have {hard} descriptors here, the story needs {wanted}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    connection.setblocking(False)
    return connection


def heard_by(
    connections: list[socket.socket], enough: bytes = b"", seconds: float = PATIENCE
) -> dict[socket.socket, bytes]:
    """What each hears until it ends so, or until the server closes it."""
    heard = dict.fromkeys(connections, b"")
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
        end = time.monotonic() + seconds
        while selector.get_map() and (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                assert isinstance(key.fileobj, socket.socket)
                try:
                    piece = key.fileobj.recv(65_536)
                except ConnectionError:
                    piece = b""
                heard[key.fileobj] += piece
                if not piece or (enough and heard[key.fileobj].endswith(enough)):
                    selector.unregister(key.fileobj)
    return heard


def resident(pid: int) -> int:
    """Octets of memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.mark.usefixtures("many_descriptors")
def test_two_thousand_trickles_do_not_keep_another_client_waiting(tmp_path: Path) -> None:
    plan = "limits: {connections_per_client: 5000, command_timeout: 30s}"
    with contoso(tmp_path, server=plan) as company, contextlib.ExitStack() as stack:
        [worker] = company.relay.workers()
        before = resident(worker)
        lorises = [stack.enter_context(contextlib.closing(connect(company.port))) for _ in range(LORISES)]
        until(lambda: descriptors(worker) > LORISES, describe="all are connected")
        took = []
        for octet in b"EHLO tri":  # never a whole command
            for loris in lorises:
                loris.send(bytes((octet,)))
            begun = time.monotonic()
            with client(company.port) as session:
                took.append(time.monotonic() - begun)
                assert session.send(SENDER, [RECIPIENT]).accepted
        assert max(took) < patient(1.0), took
        assert (resident(worker) - before) / LORISES < 20_000
        company.mailboxes.wait_for(8)
        assert company.relay.workers() == [worker]


@contextlib.contextmanager
def short_of_descriptors(relay: RunningMta, spare: int) -> Iterator[None]:
    """The worker may open `spare` more; the limit stays when the story goes on."""
    [worker] = relay.workers()
    _, hard = resource.prlimit(worker, resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path(f"/proc/{worker}/fd").iterdir())
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (highest + 1 + spare, hard))
    yield


def test_a_relay_without_descriptors_recovers_by_itself(tmp_path: Path) -> None:
    large = b"Subject: large\r\n\r\n" + (b"x" * 98 + b"\r\n") * 20_000
    with contoso(tmp_path, server="limits: {connections_per_client: 500}") as company, contextlib.ExitStack() as stack:
        assert send(company.port, SENDER, [RECIPIENT]).accepted
        company.mailboxes.wait_for(1)
        [worker] = company.relay.workers()
        with client(company.port) as early:
            with short_of_descriptors(company.relay, 12):
                crowd = [stack.enter_context(contextlib.closing(connect(company.port))) for _ in range(60)]
                heard = heard_by(crowd, seconds=1.5)
                greeted = [text for text in heard.values() if text.startswith(b"220 ")]
                assert 0 < len(greeted) < 60
                said = early.send(SENDER, [RECIPIENT], large).data
                assert said[:3] in ("250", "451", "452"), said
                assert company.relay.workers() == [worker]
            for connection in crowd:
                connection.close()
            until(lambda: early.send(SENDER, [RECIPIENT], large).accepted, describe="the open session delivers again")
        until(lambda: accepted(company), describe="a new one is served, under the same limit")
        assert company.relay.workers() == [worker]
        assert company.relay.process.poll() is None


def accepted(company: Company) -> bool:
    try:
        return send(company.port, SENDER, [RECIPIENT]).accepted
    except OSError:
        return False


def garbage(chance: Random) -> bytes:
    """Something between almost SMTP and nothing at all."""
    verbs = (
        b"EHLO ",
        b"MAIL FROM:",
        b"RCPT TO:",
        b"DATA",
        b"STARTTLS",
        b"RSET",
        b"AUTH ",
        b"BDAT ",
        b"VRFY ",
        b"\x16\x03",
    )
    pieces = (
        b"<a@b.example>",
        b"<",
        b">",
        b"\xc3\xa4",
        b"\xff",
        b"\0",
        b"%s%n",
        b"SIZE=9" * 9,
        b"ORCPT=rfc822;+0A",
        b" ",
    )
    line = chance.choice(verbs) + b"".join(chance.choice(pieces) for _ in range(chance.randrange(6)))
    return line + chance.choice((b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b""))


def test_garbage_gets_replies_and_never_a_word_of_python(tmp_path: Path) -> None:
    chance = Random(20261123)
    with contoso(tmp_path, server="limits: {error_delay: 0s, connections_per_client: 500}") as company:
        [worker] = company.relay.workers()
        crowd = [connect(company.port) for _ in range(150)]
        assert all(text.startswith(b"220 ") for text in heard_by(crowd, b"\n").values())
        for _ in range(40):
            for connection in crowd:
                with contextlib.suppress(ConnectionError):
                    connection.send(garbage(chance))
        for connection in crowd:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_WR)
        heard = b"".join(heard_by(crowd).values())
        for connection in crowd:
            connection.close()
        assert len({line[:3] for line in heard.split(b"\r\n")}) > 5  # of replies, that is: it was understood
        lines = heard.split(b"\r\n")
        assert all(line[:3].isdigit() and line[3:4] in (b" ", b"-") for line in lines if line and line[:1] != b"\x15")
        for word in (b"Traceback", b"Error(", b"Exception", b".py", b"object at 0x", b"None"):
            assert word not in heard
        assert company.relay.seen("defect") == []
        assert company.relay.workers() == [worker]
        assert send(company.port, SENDER, [RECIPIENT]).accepted
