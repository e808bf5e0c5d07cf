"""A partner's side of SMTP, as little as a story needs: connect (with TLS, with a certificate), send, hear every reply.

with client(relay.port, tls=Tls(show=fabrikam)) as session:
    assert session.send("a@fabrikam.example", ["b@contoso.example"]).accepted

sent = send(relay.port, "a@fabrikam.example", ["b@contoso.example"])     # a session of its own, in clear
sent.mail, sent.rcpts, sent.data                                          # "550 5.7.1 ..."; "" where not asked
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mta.adapters.pki import Issued
from tests.support.running_mta import PATIENCE

BODY = b"From: teller@story.example\r\nSubject: a story\r\n\r\nIt begins.\r\n"


@dataclass(frozen=True)
class Tls:
    """How TLS is spoken: by STARTTLS or from the first byte, in which versions, showing which certificate."""

    show: Issued | None = None
    implicit: bool = False
    maximum: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED

    def context(self) -> ssl.SSLContext:
        """A client's context that takes any server: whom it speaks with is not the matter of these stories."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = self.maximum
        if self.show:
            with tempfile.TemporaryDirectory() as folder:
                context.load_cert_chain(*self.show.write(Path(folder), "shown"))
        return context


@dataclass(frozen=True)
class Sent:
    """What the relay said to each step; empty where it was not asked any more."""

    mail: str
    rcpts: tuple[str, ...] = ()
    data: str = ""

    @property
    def accepted(self) -> bool:
        """Whether it took the message."""
        return self.data.startswith("250")

    @property
    def id(self) -> str:
        """Under which id."""
        assert self.accepted, self
        return self.data.split()[-1]


@dataclass
class Session:
    """An open session behind EHLO. `facts` are kept for a failing test's message."""

    smtp: smtplib.SMTP
    heard: list[str] = field(default_factory=list)

    def say(self, command: str) -> str:
        """One command; the reply in one line."""
        code, text = self.smtp.docmd(command)
        self.heard.append(f"{command} -> {code} {text!r}")
        return f"{code} {text.decode('utf-8', 'replace')}"

    def send(self, sender: str, recipients: Sequence[str], data: bytes = BODY, options: str = "") -> Sent:
        """A transaction up to its first refusal of MAIL, of all recipients, or of the content."""
        mail = self.say(f"MAIL FROM:<{sender}>{options}")
        if not mail.startswith("2"):
            return Sent(mail)
        rcpts = tuple(self.say(f"RCPT TO:<{recipient}>") for recipient in recipients)
        if not any(reply.startswith("2") for reply in rcpts):
            self.say("RSET")
            return Sent(mail, rcpts)
        return Sent(mail, rcpts, self.content(data))

    def chunk(self, data: bytes, *, last: bool = False) -> str:
        """BDAT with these octets; the reply."""
        self.smtp.send(b"BDAT %d%s\r\n" % (len(data), b" LAST" if last else b"") + data)
        code, text = self.smtp.getreply()
        return f"{code} {text.decode()}"

    def content(self, data: bytes = BODY) -> str:
        """DATA and these lines; the reply to the final dot, or to DATA where that was refused."""
        go = self.say("DATA")
        if not go.startswith("354"):
            return go
        self.smtp.send((b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n")
        code, text = self.smtp.getreply()
        return f"{code} {text.decode()}"


@contextlib.contextmanager
def client(
    port: int, *, tls: Tls | None = None, host: str = "127.0.0.1", source: str = "", helo: str = "client.example"
) -> Iterator[Session]:
    """A session from `source` (an address of this machine), in clear unless `tls` is given."""
    origin = (source, 0) if source else None
    if tls and tls.implicit:
        smtp: smtplib.SMTP = smtplib.SMTP_SSL(
            host, port, helo, timeout=PATIENCE, source_address=origin, context=tls.context()
        )
    else:
        smtp = smtplib.SMTP(host, port, helo, timeout=PATIENCE, source_address=origin)
    smtp.command_encoding = "utf-8"
    try:
        smtp.ehlo()
        if tls and not tls.implicit:
            smtp.starttls(context=tls.context())
            smtp.ehlo()
        yield Session(smtp)
        smtp.quit()
    finally:
        smtp.close()


def send(
    port: int,
    sender: str,
    recipients: Sequence[str],
    data: bytes = BODY,
    *,
    tls: Tls | None = None,
    host: str = "127.0.0.1",
    source: str = "",
) -> Sent:
    """One transaction in a session of its own."""
    with client(port, tls=tls, host=host, source=source) as session:
        return session.send(sender, recipients, data)


def has_ipv6() -> bool:
    """Whether ::1 can be used here."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
