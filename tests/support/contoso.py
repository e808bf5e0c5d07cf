"""The company of these stories: Contoso's relay, its mailbox host behind it, and connectors for its partners.

with contoso(tmp_path, CONNECTORS) as company:
    sent = send(company.port, "a@fabrikam.example", ["b@contoso.example"])
    assert sent.accepted
    [message] = company.mailboxes.wait_for(1)
"""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.pki import authority
from tests.support.running_mta import RunningMta, free_port, running_mta
from tests.support.smtp_peer import Script, SmtpPeer, smtp_peer

HOST = "mx.contoso.example"


@dataclass(frozen=True)
class Plan:
    """What differs from story to story; every text is YAML.

    `listen`: further listeners by a name of their own, as the object without its address, such as `{tls: implicit}`.
    `domain`: further keys of the domain contoso.example; `domains`: further domains, where `{mailboxes}` is the
    mailbox host's port, as it is in `connectors`.
    """

    connectors: str = ""
    listen: dict[str, str] = field(default_factory=dict)
    server: str = ""
    domain: str = ""
    domains: str = ""
    script: Script | None = None


@dataclass
class Company:
    """What runs. `ports` are those of the plan's further listeners, by their names."""

    relay: RunningMta
    mailboxes: SmtpPeer
    ports: dict[str, int]

    @property
    def port(self) -> int:
        """Where the relay takes mail."""
        return self.relay.port

    def refusals(self) -> list[dict[str, Any]]:
        """All that it has refused so far, as the log has it."""
        return self.relay.seen("mail.refused")

    def trace(self, id_: str) -> dict[str, Any]:
        """The history and evidence of one message."""
        [message] = self.relay.ask("trace", id_)["messages"]
        assert isinstance(message, dict)
        return message


@contextlib.contextmanager
def contoso(folder: Path, connectors: str = "", **plan: Any) -> Iterator[Company]:
    """Start the company in `folder`; the keywords are those of `Plan`."""
    made = Plan(connectors, **plan)
    ports = {name: free_port() for name in made.listen}
    with smtp_peer(made.script) as mailboxes:
        text = configuration(folder, made, ports).replace("{mailboxes}", str(mailboxes.port))
        with running_mta(folder, text) as relay:
            yield Company(relay, mailboxes, ports)


def configuration(folder: Path, plan: Plan, ports: dict[str, int]) -> str:
    """Contoso's connectors.yaml."""
    chain, key = authority("Contoso Root").issue(dns_names=[HOST]).write(folder, HOST)
    listen = "".join(
        f'\n    - {{address: "{"[::1]" if name == "ipv6" else "127.0.0.1"}:{ports[name]}", {more}}}'
        for name, more in plan.listen.items()
    )
    return f"""\
server:
  hostname: {HOST}
  postmaster: postmaster@contoso.example
  listen:
    - {{address: "127.0.0.1:{{port}}"}}{listen}
  certificate: {{chain: {chain}, key: {key}}}
  queue: {{store: "sqlite:queue"}}
  workers: 1
  log: {{format: json}}
{_indented(plan.server, 2)}domains:
  contoso.example:
    deliver_to: ["127.0.0.1:{{mailboxes}}"]
    connector: inside
{_indented(plan.domain, 4)}{_indented(plan.domains, 2)}connectors:
  inside:
    outbound: {{tls: {{level: none}}}}
{_indented(plan.connectors, 2)}"""


def _indented(text: str, width: int) -> str:
    body = textwrap.dedent(text).strip("\n")
    return textwrap.indent(body, " " * width) + "\n" if body else ""
