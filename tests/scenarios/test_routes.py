"""Where mail goes: by MX records, by smart hosts, by address literals; and what becomes of it where there is no way."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.client import has_ipv6
from tests.support.dns_server import SERVFAIL, DnsServer, dns_server
from tests.support.outgoing import Outgoing, hosts_on_one_port, outgoing
from tests.support.patience import PATIENCE
from tests.support.programs import find, needs
from tests.support.running_mta import free_port, until
from tests.support.smtp_peer import Script, SmtpPeer, smtp_peer

DEFAULT = "default: {outbound: {route: mx, port: PORT, tls: {level: none}}}"
ZONE = {
    ("a.hosts.example", "A"): ["127.0.0.1"],
    ("b.hosts.example", "A"): ["127.0.0.2"],
    ("down.hosts.example", "A"): ["127.0.0.3"],
    ("ordered.example", "MX"): ["20 b.hosts.example.", "10 a.hosts.example."],
    ("equal.example", "MX"): ["10 b.hosts.example.", "10 a.hosts.example."],
    ("second.example", "MX"): ["10 down.hosts.example.", "20 b.hosts.example."],
    ("busy.example", "MX"): ["10 busy.hosts.example.", "20 b.hosts.example."],
    ("busy.hosts.example", "A"): ["127.0.0.4"],
    ("implicit.example", "A"): ["127.0.0.1"],
    ("alias.example", "CNAME"): ["ordered.example."],
    ("aliased-host.example", "MX"): ["10 alias.hosts.example."],
    ("alias.hosts.example", "CNAME"): ["b.hosts.example."],
    ("null.example", "MX"): ["0 ."],
    ("broken.example", "MX"): SERVFAIL,
    ("half-broken.example", "MX"): ["10 unknown.hosts.example.", "20 b.hosts.example."],
    ("unknown.hosts.example", "A"): SERVFAIL,
    ("unknown.hosts.example", "AAAA"): SERVFAIL,
    ("homeless.example", "MX"): ["10 nowhere.hosts.example."],
    ("ourselves.example", "MX"): ["10 mx.contoso.example.", "20 b.hosts.example."],
    ("backup.example", "MX"): ["20 mx.contoso.example.", "10 a.hosts.example.", "30 b.hosts.example."],
    ("backup-down.example", "MX"): ["20 mx.contoso.example.", "10 down.hosts.example.", "30 b.hosts.example."],
    ("literal.example", "MX"): ["10 127.0.0.1."],
    ("sixth.example", "MX"): ["10 six.hosts.example."],
    ("six.hosts.example", "AAAA"): ["::1"],
    ("both.example", "MX"): ["10 both.hosts.example."],
    ("both.hosts.example", "AAAA"): ["::1"],
    ("both.hosts.example", "A"): ["127.0.0.2"],
    ("xn--bcher-kva.example", "MX"): ["10 a.hosts.example."],
}


@dataclass
class World:
    """A relay whose `default` goes by MX to `first` (127.0.0.1), `second` (127.0.0.2) and `busy`, on one port."""

    ours: Outgoing
    dns: DnsServer
    first: SmtpPeer
    second: SmtpPeer
    busy: SmtpPeer

    def sent_to(self, address: str) -> str:
        """Send to this address; the host that took it, once one did."""
        self.ours.ends(self.ours.send(address))
        takers = [
            name
            for name, peer in (("first", self.first), ("second", self.second), ("busy", self.busy))
            if any(address in message.recipients for message in peer.messages)
        ]
        return ",".join(takers)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    busy = Script(replies={"GREETING": "421 4.3.2 too busy"})
    places = (("127.0.0.1", None), ("127.0.0.2", None), ("127.0.0.4", busy))
    with hosts_on_one_port(*places) as (first, second, third), dns_server(ZONE) as dns:
        connectors = DEFAULT.replace("PORT", str(first.port))
        with outgoing(tmp_path_factory.mktemp("routes"), connectors, dns=dns) as ours:
            yield World(ours, dns, first, second, third)


def test_the_lowest_preference_is_asked_first(world: World) -> None:
    assert [world.sent_to(f"bob{n}@ordered.example") for n in range(3)] == ["first"] * 3


def test_hosts_of_equal_preference_share_the_load(world: World) -> None:
    # 24 messages all at one of two hosts: once in eight million runs
    ids = [world.ours.send(f"bob{n}@equal.example") for n in range(24)]
    for id_ in ids:
        world.ours.ends(id_)
    shares = [
        sum("@equal.example" in message.mail + "".join(message.rcpts) for message in peer.messages)
        for peer in (world.first, world.second)
    ]
    assert sum(shares) == 24
    assert min(shares) > 0


@pytest.mark.parametrize(
    ("domain", "taker"),
    [
        pytest.param("implicit.example", "first", id="without MX the domain itself"),
        pytest.param("alias.example", "first", id="the domain is a CNAME"),
        pytest.param("aliased-host.example", "second", id="the MX host is a CNAME"),
        pytest.param("second.example", "second", id="the first host is down"),
        pytest.param("busy.example", "second", id="the first host is busy"),
        pytest.param("half-broken.example", "second", id="the first host cannot be looked up"),
        pytest.param("both.example", "second", id="the host answers by IPv4 alone"),
        pytest.param("backup.example", "first", id="we are a backup, a better host takes it"),
        pytest.param("bücher.example", "first", id="an internationalised domain"),
        pytest.param("[127.0.0.2]", "second", id="an address literal"),
    ],
)
def test_the_way_leads_to(world: World, domain: str, taker: str) -> None:
    domain = domain.encode("idna").decode() if not domain.startswith("[") else domain
    assert world.sent_to(f"way@{domain}") == taker


def test_a_host_that_is_down_is_in_the_trace_beside_the_one_that_took_it(world: World) -> None:
    id_ = world.ours.send("traced@second.example")
    world.ours.ends(id_)
    down, up = world.ours.attempts(id_)
    assert (down["host"], down["address"]) == ("down.hosts.example", "127.0.0.3")
    assert "Connection refused" in down["failure"]["reason"]
    assert (up["host"], "failure" in up) == ("b.hosts.example", False)


@pytest.mark.parametrize(
    ("domain", "status", "word"),
    [
        pytest.param("null.example", "5.1.10", "null-mx", id="null MX"),
        pytest.param("nothing.example", "5.1.2", "no-such-domain", id="no such domain"),
        pytest.param("ourselves.example", "5.4.6", "loop", id="the best MX is ourselves"),
        pytest.param("literal.example", "5.4.4", "no-usable-mx", id="an address where a name should be"),
    ],
)
def test_no_way_is_told_the_sender_at_once(world: World, domain: str, status: str, word: str) -> None:
    before = len(world.ours.home.messages)
    id_ = world.ours.send(f"bob@{domain}")
    assert world.ours.ends(id_) == {f"bob@{domain}": "failed"}
    [event] = [event for event in world.ours.trace(id_)["events"] if event["event"] == "delivery.failed"]
    assert event["reason"].startswith(f"{word}: ")
    assert domain in event["reason"]
    report = world.ours.report(before + 1)
    [_, details] = report.get_payload(1).get_payload()  # type: ignore[union-attr]
    assert details["Status"] == status
    assert details["Final-Recipient"].replace(" ", "") == f"rfc822;bob@{domain}"


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        pytest.param("broken.example", "dns: MX of broken.example", id="SERVFAIL"),
        pytest.param("homeless.example", "dns: no address for nowhere.hosts.example", id="an MX without an address"),
        pytest.param("backup-down.example", "Connection refused", id="we are a backup and the better host is down"),
    ],
)
def test_what_may_be_mended_waits(world: World, domain: str, words: str) -> None:
    id_ = world.ours.send(f"bob@{domain}")
    assert words in world.ours.waits(id_)["reason"]
    assert world.ours.states(id_) == {f"bob@{domain}": "queued"}


def test_mail_waits_for_the_name_server_and_goes_out_when_it_answers_again(world: World) -> None:
    world.dns.set("later.example", "MX", SERVFAIL)
    id_ = world.ours.send("bob@later.example")
    world.ours.waits(id_)
    world.dns.set("later.example", "MX", ["10 a.hosts.example."])
    world.ours.retry(id_)
    assert world.ours.ends(id_) == {"bob@later.example": "delivered"}


def test_a_host_that_cannot_be_looked_up_might_still_take_what_another_refuses_for_good(tmp_path: Path) -> None:
    unwilling = Script(replies={"GREETING": "554 5.3.2 no mail here"})
    with smtp_peer(unwilling) as peer, dns_server(ZONE) as dns:
        dns.set("half.example", "MX", ["10 unknown.hosts.example.", "20 a.hosts.example."])
        with outgoing(tmp_path, DEFAULT.replace("PORT", str(peer.port)), dns=dns) as ours:
            id_ = ours.send("bob@half.example")
            unknown, refused = ours.waits(id_)["attempts"]
            assert unknown["host"] == "unknown.hosts.example"
            assert unknown["failure"]["reason"].startswith("dns: unknown.hosts.example: ")
            assert refused["failure"]["reason"].startswith("greeting: ")
            dns.set("unknown.hosts.example", "A", ["127.0.0.3"])  # it is down, but it might come back
            dns.set("unknown.hosts.example", "AAAA", [])
            ours.retry(id_)
            ours.waits(id_, 2)
            assert ours.home.messages == []


@pytest.mark.skipif(not has_ipv6() and not os.environ.get("CI"), reason="no IPv6 on this machine")
def test_a_host_with_an_ipv6_address_alone(tmp_path: Path) -> None:
    with (
        smtp_peer(address="::1") as peer,
        dns_server(ZONE) as dns,
        outgoing(tmp_path, DEFAULT.replace("PORT", str(peer.port)), dns=dns) as ours,
    ):
        by_name, by_literal = ours.send("bob@sixth.example"), ours.send("bob@[IPv6:::1]")
        assert ours.ends(by_name) == {"bob@sixth.example": "delivered"}
        assert set(ours.ends(by_literal).values()) == {"delivered"}
        assert [ours.attempts(id_)[0]["address"] for id_ in (by_name, by_literal)] == ["::1", "::1"]


def test_a_loop_is_seen_in_the_greeting_of_a_host_that_calls_itself_as_we_do(tmp_path: Path) -> None:
    script = Script(replies={"GREETING": "220 mx.contoso.example ESMTP", "EHLO": "250 mx.contoso.example hello"})
    with smtp_peer(script) as mirror:
        connectors = smart_hosts("mirror", mirror.port)
        with outgoing(tmp_path, connectors) as ours:
            id_ = ours.send("bob@mirror.example")
            assert ours.ends(id_) == {"bob@mirror.example": "failed"}
            assert ours.report().get_payload(1).get_payload(1)["Status"] == "5.4.6"  # type: ignore[union-attr]
            assert not any(command.startswith("MAIL") for command in mirror.commands)


def smart_hosts(name: str, *ports: int) -> str:
    hosts = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
    return f"""
{name}:
  domains: [{name}.example]
  inbound: {{identity: none}}
  outbound: {{route: {{hosts: [{hosts}]}}, tls: {{level: none}}}}
"""


def test_smart_hosts_are_asked_in_their_order_and_no_mx_is_looked_up_for_them(tmp_path: Path) -> None:
    down = free_port()
    with smtp_peer() as first, smtp_peer() as second, dns_server(ZONE) as dns:
        connectors = smart_hosts("cloud", first.port, second.port) + smart_hosts("hilly", down, second.port)
        connectors += DEFAULT.replace("PORT", str(first.port))
        with outgoing(tmp_path, connectors, dns=dns) as ours:
            for n in range(3):
                ours.ends(ours.send(f"bob{n}@cloud.example"))
            ours.ends(ours.send("bob@hilly.example"))
            assert (len(first.messages), len(second.messages)) == (3, 1)
            assert not dns.queries
            ours.ends(ours.send("bob@implicit.example"))
            assert ("implicit.example", "MX") in dns.queries
            assert not any("cloud" in name or "hilly" in name for name, _ in dns.queries)


# --- a real name server --------------------------------------------------------------------------------------------

UNBOUND = """\
server:
  directory: "{folder}"
  pidfile: "{folder}/unbound.pid"
  username: ""
  chroot: ""
  interface: 127.0.0.1
  port: {port}
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  use-syslog: no
  logfile: "{folder}/unbound.log"
  local-zone: "example." static
  local-data: "fabrikam.example. MX 20 second.fabrikam.example."
  local-data: "fabrikam.example. MX 10 first.fabrikam.example."
  local-data: "first.fabrikam.example. A 127.0.0.3"
  local-data: "second.fabrikam.example. A 127.0.0.1"
  local-data: "bare.example. A 127.0.0.1"
  local-data: "null.example. MX 0 ."
remote-control:
  control-enable: no
"""


@contextlib.contextmanager
def unbound() -> Iterator[int]:
    """A private unbound; its port."""
    with tempfile.TemporaryDirectory(prefix="mta-unbound-") as name:
        yield from _run_unbound(Path(name), free_port())


def _run_unbound(folder: Path, port: int) -> Iterator[int]:
    (folder / "unbound.conf").write_text(UNBOUND.format(folder=folder, port=port))
    process = subprocess.Popen([find("unbound") or "unbound", "-d", "-c", str(folder / "unbound.conf")])
    try:
        until(lambda: _answers(port) or process.poll() is not None, describe="unbound answers")
        assert process.poll() is None, (folder / "unbound.log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _answers(port: int) -> bool:
    import dns.exception
    import dns.message
    import dns.query

    try:
        dns.query.udp(dns.message.make_query("bare.example", "A"), "127.0.0.1", timeout=0.5, port=port)
    except (dns.exception.DNSException, OSError):
        return False
    return True


@pytest.mark.peer
@needs("unbound")
def test_a_real_name_server_leads_the_mail(tmp_path: Path) -> None:
    with unbound() as port, smtp_peer() as peer:
        server = f'dns: {{nameservers: ["127.0.0.1:{port}"]}}'
        with outgoing(tmp_path, DEFAULT.replace("PORT", str(peer.port)), server=server) as ours:
            by_mx, by_address = ours.send("bob@fabrikam.example"), ours.send("bob@bare.example")
            unwilling, unknown = ours.send("bob@null.example"), ours.send("bob@nothing.example")
            assert ours.ends(by_mx) == {"bob@fabrikam.example": "delivered"}
            assert [attempt["host"] for attempt in ours.attempts(by_mx)] == [
                "first.fabrikam.example",
                "second.fabrikam.example",
            ]
            assert ours.ends(by_address) == {"bob@bare.example": "delivered"}
            assert ours.ends(unwilling) == {"bob@null.example": "failed"}
            assert ours.ends(unknown) == {"bob@nothing.example": "failed"}
