"""A scripted SMTP peer: a faithful sink unless told to misbehave. Runs in threads, for scenario and adapter tests.

    with smtp_peer() as peer:
        ...                                     # deliver to 127.0.0.1:peer.port
        [message] = peer.wait_for(1)

    smtp_peer(Script(replies={"DATA": "451 4.3.0 later"}))          # a reply of its own to a verb
    smtp_peer(Script(replies={"RCPT": ["250 ok", "550 no"]}))       # in turn; the last one repeats
    smtp_peer(Script(replies={"DOT": CLOSE}))                       # or STALL, Pause(s), Wait(event), bytes, a tuple

`peer.script` may be replaced while it runs, as an administrator mends a host.

Verbs are the commands' and `GREETING`, `CONTENT` (as soon as content arrives) and `DOT` (after the final dot).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.patience import PATIENCE, patient

EXTENSIONS = ("PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES")


class Close:
    """Close the connection."""


class Stall:
    """Say nothing more, but stay."""


@dataclass(frozen=True)
class Pause:
    """Wait before the next action of a tuple."""

    seconds: float


@dataclass(frozen=True)
class Wait:
    """Wait for the test before the next action of a tuple."""

    until: threading.Event


@dataclass(frozen=True)
class Split:
    """Send the reply octet by octet."""

    reply: str


CLOSE = Close()
STALL = Stall()
Action = Any  # str | bytes | Close | Stall | Pause | Wait | Split | tuple of them; a list: in turn


@dataclass(frozen=True)
class PeerTls:
    """STARTTLS (or TLS at once) with this chain and key. `client_ca`: ask for a client certificate of these CAs."""

    chain: str
    key: str
    client_ca: str = ""
    implicit: bool = False
    minimum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2
    maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version, context.maximum_version = self.minimum, self.maximum
        context.load_cert_chain(self.chain, self.key)
        if self.client_ca:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(self.client_ca)
        return context


@dataclass(frozen=True)
class Script:
    """How the peer behaves. `recipients` maps an address (as in RCPT) to an action."""

    extensions: tuple[str, ...] = EXTENSIONS
    replies: dict[str, Action] = field(default_factory=dict)
    recipients: dict[str, Action] = field(default_factory=dict)
    tls: PeerTls | None = None


@dataclass(frozen=True)
class PeerMessage:
    """One message that was taken. `data` has its dots unstuffed; `tls` is the version, empty in clear."""

    helo: str
    mail: str  # all that followed MAIL FROM:
    rcpts: tuple[str, ...]
    data: bytes
    tls: str = ""
    cipher: str = ""
    client_certificate: bytes | None = None  # DER

    @property
    def sender(self) -> str:
        return _path(self.mail)

    @property
    def recipients(self) -> tuple[str, ...]:
        return tuple(_path(rcpt) for rcpt in self.rcpts)


class SmtpPeer:
    """The running peer: what it heard, and what it took."""

    def __init__(self, script: Script, port: int = 0, address: str = "127.0.0.1") -> None:
        self.script = script
        self.messages: list[PeerMessage] = []
        self.refused: list[PeerMessage] = []  # whole messages that got another answer than 2yz
        self.commands: list[str] = []
        self.clear = bytearray()
        self.connections = 0
        self.stopping = threading.Event()
        self._changed = threading.Condition()
        self._turns: dict[int, int] = {}
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def clear_bytes(self) -> bytes:
        """Every octet that was received outside TLS."""
        return bytes(self.clear)

    def wait_for(self, count: int, timeout: float = PATIENCE) -> list[PeerMessage]:
        """The messages, once there are `count` of them."""
        with self._changed:
            done = self._changed.wait_for(lambda: len(self.messages) >= count, timeout)
            assert done, f"{len(self.messages)} of {count} messages came within {timeout} s; commands: {self.commands}"
            return list(self.messages)

    def wait_for_command(self, verb: str, timeout: float = PATIENCE) -> None:
        """Return once a command with this verb was heard."""
        with self._changed:
            heard = self._changed.wait_for(lambda: any(c.upper().startswith(verb) for c in self.commands), timeout)
            assert heard, f"no {verb} within {timeout} s; commands: {self.commands}"

    def heard(self, command: str) -> None:
        with self._changed:
            self.commands.append(command)
            self._changed.notify_all()

    def took(self, message: PeerMessage) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def action(self, key: str, default: Action) -> Action:
        """What to do now at `key`; a list is gone through once, its last entry repeats."""
        return self.turn(self.script.replies.get(key, default))

    def turn(self, action: Action) -> Action:
        if not isinstance(action, list):
            return action
        with self._changed:
            place = self._turns.get(id(action), 0)
            self._turns[id(action)] = place + 1
        return action[min(place, len(action) - 1)]

    def hang_up(self) -> None:
        """End every connection; new ones are taken."""
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for thread in (self._acceptor, *self._threads):
            thread.join(PATIENCE)

    def _accept(self) -> None:
        while not self.stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections += 1
            self._sockets.append(sock.dup())  # TLS takes the other one over
            thread = threading.Thread(target=_Session(self, sock).run, daemon=True)
            self._threads.append(thread)
            thread.start()


class _Gone(Exception):
    """The connection is over."""


class _Session:
    """One connection."""

    def __init__(self, peer: SmtpPeer, sock: socket.socket) -> None:
        self.peer, self.sock = peer, sock
        self.buffer = b""
        self.helo = ""
        self.mail: str | None = None
        self.rcpts: list[str] = []

    @property
    def secure(self) -> ssl.SSLSocket | None:
        return None if type(self.sock) is socket.socket else self.sock  # type: ignore[return-value]

    def run(self) -> None:
        try:
            if self.peer.script.tls and self.peer.script.tls.implicit:
                self._start_tls()
            self._do(self.peer.action("GREETING", "220 peer.example ESMTP"))
            while True:
                self._command(self._line().decode("utf-8", "replace"))
        except (_Gone, OSError):
            with contextlib.suppress(OSError):
                if isinstance(self.sock, ssl.SSLSocket):
                    socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # under TLS, whatever that thinks of it
                else:
                    self.sock.shutdown(socket.SHUT_RDWR)
            self.sock.close()

    def _receive(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise _Gone
        if not self.secure:
            self.peer.clear += data
        self.buffer += data

    def _line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            self._receive()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _do(self, action: Action) -> str:
        """Carry an action out; the first digit of what was sent last."""
        if isinstance(action, tuple):
            return [self._do(part) for part in action][-1]
        if isinstance(action, Close):
            raise _Gone
        if isinstance(action, Stall):
            self.peer.stopping.wait(patient(60))
            raise _Gone
        if isinstance(action, Pause):
            time.sleep(action.seconds)
            return ""
        if isinstance(action, Wait):
            assert action.until.wait(patient(60))
            return ""
        if isinstance(action, Split):
            for octet in action.reply.encode() + b"\r\n":
                self.sock.sendall(bytes([octet]))
            return action.reply[:1]
        data = action if isinstance(action, bytes) else action.encode() + b"\r\n"
        self.sock.sendall(data)
        return data[:1].decode("latin-1")

    def _command(self, line: str) -> None:
        self.peer.heard(line)
        verb = line.split(" ")[0].upper()
        handler = getattr(self, f"_on_{verb.lower()}", None)
        if handler is None:
            self._do(self.peer.action(verb, "502 5.5.1 not known here"))
        else:
            handler(line)

    def _on_ehlo(self, line: str) -> None:
        extensions = list(self.peer.script.extensions)
        if self.peer.script.tls and not self.secure:
            extensions.append("STARTTLS")
        lines = ["peer.example greets you", *extensions]
        text = "\r\n".join(f"250{' ' if n == len(lines) else '-'}{part}" for n, part in enumerate(lines, 1))
        if self._do(self.peer.action("EHLO", text)) == "2":
            self.helo, self.mail, self.rcpts = line[5:], None, []

    def _on_helo(self, line: str) -> None:
        if self._do(self.peer.action("HELO", "250 peer.example")) == "2":
            self.helo, self.mail, self.rcpts = line[5:], None, []

    def _on_starttls(self, line: str) -> None:
        default = "220 2.0.0 go on" if self.peer.script.tls and not self.secure else "503 5.5.1 no TLS here"
        if self._do(self.peer.action("STARTTLS", default)) == "2" and self.peer.script.tls:
            self.buffer = b""
            self._start_tls()

    def _start_tls(self) -> None:
        assert self.peer.script.tls
        self.sock = self.peer.script.tls.context().wrap_socket(self.sock, server_side=True)
        self.helo = ""

    def _on_auth(self, line: str) -> None:
        if line.upper() == "AUTH LOGIN":
            self._do(self.peer.action("AUTH", "334 VXNlcm5hbWU6"))
            self.peer.heard(self._line().decode())
            self._do("334 UGFzc3dvcmQ6")
            self.peer.heard(self._line().decode())
            self._do(self.peer.action("PASSWORD", "235 2.7.0 welcome"))
        else:
            said = self._do(self.peer.action("AUTH", "235 2.7.0 welcome"))
            while said == "3":
                self.peer.heard(self._line().decode())
                said = self._do(self.peer.action("ANSWER", "235 2.7.0 welcome"))

    def _on_mail(self, line: str) -> None:
        default = "503 5.5.1 one at a time" if self.mail is not None else "250 2.1.0 ok"
        if self._do(self.peer.action("MAIL", default)) == "2":
            self.mail, self.rcpts = line[len("MAIL FROM:") :], []

    def _on_rcpt(self, line: str) -> None:
        rcpt = line[len("RCPT TO:") :]
        default = "503 5.5.1 MAIL first" if self.mail is None else self.peer.action("RCPT", "250 2.1.5 ok")
        if self._do(self.peer.turn(self.peer.script.recipients.get(_path(rcpt), default))) == "2":
            self.rcpts.append(rcpt)

    def _on_data(self, line: str) -> None:
        default = "354 go on" if self.rcpts else "554 5.5.1 no valid recipients"
        if self._do(self.peer.action("DATA", default)) != "3":
            return
        if "CONTENT" in self.peer.script.replies:
            while not self.buffer:
                self._receive()
            self._do(self.peer.action("CONTENT", ""))
        data = self._content()
        reply = self.peer.action("DOT", "250 2.0.0 taken" if self.rcpts else "554 5.5.1 no valid recipients")
        heard = ""
        for part in reply if isinstance(reply, tuple) else (reply,):  # taken is taken, whatever follows the 250
            digit = self._do(part)
            if digit == "2" and not heard:
                self.peer.took(self._message(data))
            heard = heard or digit
        if heard != "2":
            self.peer.refused.append(self._message(data))
        self.mail, self.rcpts = None, []

    def _content(self) -> bytes:
        received = bytearray(b"\r\n")
        while True:
            received += self.buffer
            self.buffer = b""
            end = received.find(b"\r\n.\r\n")
            if end >= 0:
                self.buffer = bytes(received[end + 5 :])
                return bytes(received[2 : end + 2]).replace(b"\r\n..", b"\r\n.").removeprefix(b".")
            self._receive()

    def _message(self, data: bytes) -> PeerMessage:
        tls = self.secure
        cipher = tls.cipher() if tls else None
        return PeerMessage(
            self.helo,
            self.mail or "",
            tuple(self.rcpts),
            data,
            (tls.version() or "") if tls else "",
            cipher[0] if cipher else "",
            tls.getpeercert(binary_form=True) if tls else None,
        )

    def _on_rset(self, line: str) -> None:
        if self._do(self.peer.action("RSET", "250 2.0.0 ok")) == "2":
            self.mail, self.rcpts = None, []

    def _on_noop(self, line: str) -> None:
        self._do(self.peer.action("NOOP", "250 2.0.0 ok"))

    def _on_quit(self, line: str) -> None:
        self._do(self.peer.action("QUIT", "221 2.0.0 bye"))
        raise _Gone


def _path(text: str) -> str:
    return text[text.find("<") + 1 : text.rfind(">")]


@contextlib.contextmanager
def smtp_peer(script: Script | None = None, *, port: int = 0, address: str = "127.0.0.1") -> Iterator[SmtpPeer]:
    """A peer on `port` of an address of this machine (0: a free one), for as long as the block lasts."""
    peer = SmtpPeer(script or Script(), port, address)
    try:
        yield peer
    finally:
        peer.close()
