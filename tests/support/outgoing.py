"""Contoso's relay seen from inside: our own systems hand it mail for partners, and reports come back to them.

    with outgoing(tmp_path, CONNECTORS, limits="retry_min: 1") as ours:
        id_ = ours.send("bob@fabrikam.example")
        ours.waits(id_)                                 # until an attempt has failed; the event
        ours.retry(id_)
        [report] = ours.home.wait_for(1)                # what came back to contoso.example

Retries by the clock are far away and no host is left alone after a failure, unless `limits` says otherwise: what
happens then happens because the story says so.
"""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

from mta.cli.ask import ask
from tests.support.client import BODY, client
from tests.support.dns_server import DnsServer
from tests.support.running_mta import PATIENCE, RunningMta, running_mta, until
from tests.support.smtp_peer import Script, SmtpPeer, smtp_peer

ALICE = "alice@contoso.example"
LIMITS = {"retry_min": "600", "host_backoff": "0", "delay_warning": "0", "retry_jitter": "0"}
OVER = ("delivered", "failed", "expired", "deleted")


@dataclass
class Outgoing:
    """What runs: the relay, and the host of our own mailboxes."""

    relay: RunningMta
    home: SmtpPeer

    def send(self, *recipients: str, sender: str = ALICE, data: bytes = BODY, options: str = "") -> str:
        """Hand the relay a message for all these; its id. Parameters of RCPT: `b@x.example> NOTIFY=NEVER`."""
        with client(self.relay.port) as session:
            plain = [recipient.partition(">") for recipient in recipients]
            assert session.say(f"MAIL FROM:<{sender}>{options}").startswith("250")
            for address, _, parameters in plain:
                reply = session.say(f"RCPT TO:<{address}>{parameters}")
                assert reply.startswith("250"), reply
            assert session.say("DATA").startswith("354")
            session.smtp.send((b"\r\n" + data).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n")
            code, text = session.smtp.getreply()
            assert code == 250, text
            return text.decode().split()[-1]

    def ask(self, command: str, **request: Any) -> dict[str, Any]:
        """What `mta queue` and `mta trace` ask, without a process for it."""
        return ask(str(self.relay.config), {"command": command, **request})

    def trace(self, id_: str) -> dict[str, Any]:
        """The history and evidence of one message."""
        [message] = self.ask("trace", id=id_)["messages"]
        assert isinstance(message, dict)
        return message

    def attempts(self, id_: str) -> list[dict[str, Any]]:
        """The evidence of every host that was asked, in order."""
        return [attempt for event in self.trace(id_)["events"] for attempt in event.get("attempts", ())]

    def states(self, id_: str) -> dict[str, str]:
        """The state of each recipient by address."""
        return {each["address"]: each["state"] for each in self.trace(id_)["recipients"]}

    def waits(self, id_: str, times: int = 1) -> dict[str, Any]:
        """Wait until `times` attempts have failed for now; the last one's event in the history."""
        self._until(lambda: len(self.relay.seen("delivery.deferred", message=id_)) >= times, f"{id_} waits")
        found: dict[str, Any] = [e for e in self.trace(id_)["events"] if e["event"] == "delivery.deferred"][-1]
        return found

    def ends(self, id_: str, seconds: float = PATIENCE) -> dict[str, str]:
        """Wait until every recipient has come to an end; the states by address."""
        self._until(lambda: set(self.states(id_).values()) <= set(OVER), f"{id_} ends", seconds)
        return self.states(id_)

    def _until(self, what: Callable[[], Any], words: str, seconds: float = PATIENCE) -> None:
        try:
            until(what, seconds, describe=words)
        except AssertionError as error:  # what the log says by now tells more than what it said at the beginning
            raise AssertionError(f"{error}; the log says:\n{self.relay.story()}") from None

    def retry(self, id_: str) -> None:
        """`mta queue retry`."""
        assert self.ask("retry", id=id_)["changed"] == [id_]

    def report(self, count: int = 1) -> Message:
        """The last of `count` messages that came home, parsed."""
        return message_from_bytes(self.home.wait_for(count)[-1].data)


@contextlib.contextmanager
def outgoing(
    folder: Path,
    connectors: str,
    *,
    limits: str = "",
    dns: DnsServer | None = None,
    server: str = "",
    home: Script | None = None,
    port: int | None = None,
    domain: str = "",
    rest: str = "",
) -> Iterator[Outgoing]:
    """Start the relay in `folder` with these `connectors` beside our own.

    `domain` are further keys of contoso.example, `rest` further objects of the file.
    """
    with smtp_peer(home) as mailboxes:
        text = _configuration(connectors, limits, dns, server) + textwrap.dedent(rest)
        text = text.replace("connector: inside}", f"connector: inside, {domain}}}") if domain else text
        text = text.replace("{home}", str(mailboxes.port))
        with running_mta(folder, text, port=port) as relay:
            yield Outgoing(relay, mailboxes)


def _configuration(connectors: str, limits: str, dns: DnsServer | None, server: str) -> str:
    known = dict(line.split(": ", 1) for line in textwrap.dedent(limits).strip().splitlines())
    lines = [f"{key}: {value}" for key, value in {**LIMITS, **known}.items()]
    if "workers:" not in server:
        server += "\nworkers: 1"
    if dns:
        server += f'\ndns: {{nameservers: ["{dns.host}:{dns.port}"]}}'
    return f"""\
server:
  hostname: mx.contoso.example
  postmaster: postmaster@contoso.example
  listen: [{{address: "127.0.0.1:{{port}}"}}]
  queue: {{store: "sqlite:queue"}}
  log: {{format: json}}
{_indented(server)}
  limits: {{{", ".join(lines)}}}
domains:
  contoso.example: {{deliver_to: ["127.0.0.1:{{home}}"], connector: inside}}
connectors:
  internal: {{relay: true, inbound: {{networks: [127.0.0.0/8]}}}}
  inside: {{outbound: {{tls: {{level: none}}}}}}
{_indented(connectors)}
"""


def _indented(text: str) -> str:
    return textwrap.indent(textwrap.dedent(text).strip("\n"), "  ")


@contextlib.contextmanager
def hosts_on_one_port(*hosts: tuple[str, Script | None]) -> Iterator[list[SmtpPeer]]:
    """Several hosts, each on an address of its own and all on the same port, as the hosts of an MX are."""
    for attempt in range(20):
        with contextlib.ExitStack() as stack:
            peers: list[SmtpPeer] = []
            try:
                for address, script in hosts:
                    port = peers[0].port if peers else 0
                    peers.append(stack.enter_context(smtp_peer(script, port=port, address=address)))
            except OSError:
                if attempt == 19:
                    raise
                continue  # the port is taken on the other address: once more, with another one
            yield peers
            return
