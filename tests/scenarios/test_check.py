"""A configuration with many mistakes: all are told in one run, each at its line, and nothing starts on it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.support.client import send
from tests.support.contoso import contoso
from tests.support.pki import authority, make_key
from tests.support.running_mta import mta

BROKEN = """\
server:
  hostname: mx.contoso.example
  listen:
    - {address: "127.0.0.1:2526"}
    - {address: "127.0.0.1:2526"}
  certificate: {chain: expired.pem, key: other.key}
  workers: none
  limits: {message_size: huge, recipient: 10}
domains:
  contoso.example:
    deliver_to: ["127.0.0.1:2526"]
    connector: nobody
    recipients: missing.txt
  list.example: {deliver_to: ["192.0.2.1"], recipients: users.txt}
connectors:
  fabrikam:
    domains: [fabrikam.example, "*.fabrikam.example", list.example]
    inbound: {tls: required}
    outbound: {tls: {level: opportunistic, names: [mail.fabrikam.example]}}
  twin:
    mode: adit
    domains: [fabrikam.example]
    inbound: {identity: none, networks: [10.0.0.1/8]}
  pins:
    domains: [pins.example]
    inbound: {tls: {client_certificate: {pins: ["spki-sha256:short"], ca: no-such-ca.pem}}}
  anyone:
    domains: [anyone.example]
    relay: true
    inbound: {identity: none}
  forgotten:
    outbound: {tls: {level: none}}
  relay:
    relay: yes
    inbound: {networks: [10.0.0.0/8]}
  relay:
    domains: [again.example]
"""
EXPECTED = """\
connectors.yaml:5 server.listen[1].address: 127.0.0.1:2526 is listed twice
connectors.yaml:6 server.certificate.chain: the certificate CN=mx.contoso.example in
connectors.yaml:6 server.certificate.key: the key does not belong to the certificate
connectors.yaml:7 server.workers: expected auto or a number
connectors.yaml:8 server.limits.message_size: huge is not a size
connectors.yaml:8 server.limits.recipient: unknown key (did you mean recipients?)
connectors.yaml:11 domains.contoso.example.deliver_to[0]: this is our own listening address
connectors.yaml:12 domains.contoso.example.connector: there is no connector nobody
connectors.yaml:13 domains.contoso.example.recipients:
connectors.yaml:17 connectors.fabrikam.domains[2]: list.example is one of our own domains (line 14)
connectors.yaml:18 connectors.fabrikam.inbound: nothing here proves who sends
connectors.yaml:19 connectors.fabrikam.outbound.tls.level: opportunistic is less than
connectors.yaml:21 connectors.twin.mode: expected enforce or audit, found adit (did you mean audit?)
connectors.yaml:22 connectors.twin.domains[0]: fabrikam.example is already claimed by fabrikam (line 17)
connectors.yaml:23 connectors.twin.inbound.networks[0]: 10.0.0.1/8 has host bits set (the network is 10.0.0.0/8)
connectors.yaml:26 connectors.pins.inbound.tls.client_certificate.pins[0]: the pin is not base64
connectors.yaml:26 connectors.pins.inbound.tls.client_certificate.ca:
connectors.yaml:29 connectors.anyone.relay:
connectors.yaml:31 connectors.forgotten: nothing ever leads to this connector
connectors.yaml:34 connectors.relay.relay: expected true or false, found yes
connectors.yaml:36 connectors.relay: this key is given twice (first in line 33
users.txt:2 domains.list.example.recipients: not an address is not an address
users.txt:3 domains.list.example.recipients: eve@elsewhere.example is in none of our domains
"""
USERS = "bob@list.example\nnot an address\neve@elsewhere.example\n"
LINE = re.compile(r"(?P<file>[^:]+):(?P<line>\d+):(?P<column>\d+): (?P<rest>(?P<path>[^:]+): .+)")


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    root = authority("Contoso Root")
    root.issue_expired(dns_names=["mx.contoso.example"]).write(tmp_path, "expired")
    root.issue(dns_names=["x"], key=make_key()).write(tmp_path, "other")
    (tmp_path / "users.txt").write_text(USERS)
    (tmp_path / "connectors.yaml").write_text(BROKEN)
    return tmp_path / "connectors.yaml"


def test_every_mistake_is_told_in_one_run_each_at_its_line(broken: Path) -> None:
    done = mta("check", "--config", str(broken))
    assert (done.returncode, done.stdout) == (2, "")
    told = done.stderr.splitlines()
    found = [LINE.fullmatch(line) for line in told]
    assert None not in found, "one problem, one line"
    short = [f"{Path(one['file']).name}:{one['line']} {one['rest']}" for one in found if one]
    for expected, line in zip(EXPECTED.splitlines(), short, strict=True):
        assert line.startswith(expected)


def test_a_script_reads_the_same(broken: Path) -> None:
    done = mta("check", "--config", str(broken), "--json")
    document = json.loads(done.stdout)
    assert done.returncode == 2
    assert document["ok"] is False
    lines = mta("check", "--config", str(broken)).stderr.splitlines()
    assert [f"{one['file']}:{one['line']}:{one['column']}: {one['path']}" for one in document["problems"]] == [
        ":".join(line.split(":")[:4]) for line in lines
    ]


def test_the_relay_does_not_start_on_it_and_says_why(broken: Path) -> None:
    done = mta("serve", "--config", str(broken))
    assert done.returncode == 2
    for line in mta("check", "--config", str(broken)).stderr.splitlines():
        assert line in done.stderr
    assert not (broken.parent / "var").exists(), "nothing was made"


def test_explain_does_not_guess_on_it(broken: Path) -> None:
    done = mta("explain", "--from", "a@x.example", "--to", "b@contoso.example", "--config", str(broken))
    assert (done.returncode, done.stdout) == (2, "")
    assert "connectors.twin.mode: expected enforce or audit" in done.stderr


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    done = mta("check", "--config", str(tmp_path / "nothing.yaml"))
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "nothing.yaml" in line
    assert "No such file" in line


def test_a_running_relay_keeps_its_good_configuration(tmp_path: Path) -> None:
    connectors = "fabrikam: {domains: [fabrikam.example], inbound: {networks: [127.0.0.2/32]}}"
    with contoso(tmp_path, connectors) as company:
        assert company.relay.command("check").returncode == 0
        good = company.relay.config.read_text()
        company.relay.reload(good.replace("fabrikam.example]", "fabrikam.example, contoso.example]"))
        line = company.relay.wait_for("server.reload-refused")
        assert "contoso.example is one of our own domains" in json.dumps(line)
        assert company.relay.command("check").returncode == 2
        refused = send(company.port, "a@fabrikam.example", ["bob@contoso.example"])
        assert refused.mail.startswith("550 5.7.1 ")
        company.relay.reload(good.replace("127.0.0.2/32", "127.0.0.1/32"))
        company.relay.wait_for("server.reloaded", worker=0)
        assert send(company.port, "a@fabrikam.example", ["bob@contoso.example"]).accepted
