"""MTA-STS: what a domain's policy says of its hosts holds, and a policy once seen outlives whoever hides it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mta.app.commands import ask_worker
from mta.app.folders import control_paths
from mta.app.load import load
from mta.app.reports import report_spool
from mta.pipeline.counts import read
from tests.scenarios.test_forced_tls_out import nothing_was_said, secure
from tests.support.dns_server import DnsServer, dns_server
from tests.support.outgoing import Outgoing, hosts_on_one_port, outgoing
from tests.support.pki import authority
from tests.support.policy_host import POLICY, Answer, PolicyHost, policy_host
from tests.support.smtp_peer import EXTENSIONS, Script, SmtpPeer

CA = authority("Web CA")
OTHER = authority("Other CA")
BARE = Script()
TESTING = POLICY.replace("enforce", "testing")
ELSEWHERE = Answer(status="301 Moved", headers={"Location": "https://mta-sts.enforced.example/"})
REFUSING = Script(extensions=(*EXTENSIONS, "STARTTLS"), replies={"STARTTLS": "454 4.7.0 not now"})

# domain label -> the host (a certificate's names, or how it misbehaves), the policy, and what comes of it: a verdict,
# or the first word of why the mail waits. All under the level `opportunistic`, but those that begin with `must`.
CASES: dict[str, tuple[Any, Any, str]] = {
    "enforced": ("mx.enforced.example", POLICY, "tls=verified:mta-sts"),
    "wildcard": ("mx.wildcard.example", POLICY.replace("mx.{domain}", "*.{domain}"), "tls=verified:mta-sts"),
    "unnamed": ("mx.unnamed.example", POLICY.replace("mx.{domain}", "mail.{domain}"), "sts-mx"),
    "other-name": ("mail.other-name.example", POLICY, "certificate-name"),
    "other-ca": (OTHER, POLICY, "certificate-untrusted"),
    "clear": (BARE, POLICY, "starttls-not-offered"),
    "refusing": (REFUSING, POLICY, "starttls-refused"),
    "testing": (BARE, TESTING, "tls=none"),
    "testing-ca": (OTHER, TESTING, "tls=encrypted"),
    "testing-mx": ("mx.testing-mx.example", TESTING.replace("mx.{", "old.{"), "tls=encrypted"),
    "none": (BARE, POLICY.replace("enforce", "none"), "tls=none"),
    "missing": (BARE, Answer("", "404 Not Found"), "tls=none"),
    "redirected": (BARE, ELSEWHERE, "tls=none"),
    "gigabyte": (BARE, Answer("x" * 65_536, endless=True), "tls=none"),
    "html": (BARE, Answer(type="text/html"), "tls=none"),
    "must": ("mx.must.example", POLICY, "tls=verified:mta-sts"),
    "must-testing": ("mx.must-testing.example", TESTING, "sts-required"),
    "must-missing": ("mx.must-missing.example", Answer("", "404 Not Found"), "sts-required"),
    "must-nothing": ("mx.must-nothing.example", None, "sts-required"),
    "off": (BARE, POLICY, "tls=none"),
}  # fmt: skip
PROBLEMS = {"missing": "sts-policy-fetch-error", "redirected": "sts-policy-fetch-error",
    "gigabyte": "sts-policy-fetch-error", "html": "sts-policy-fetch-error"}  # fmt: skip


@dataclass
class World:
    ours: Outgoing
    peers: dict[str, SmtpPeer]
    web: PolicyHost


def host(folder: Path, label: str, kind: Any) -> Script:
    if isinstance(kind, Script):
        return kind
    issuer, name = (CA, kind) if isinstance(kind, str) else (kind, f"mx.{label}.example")
    return secure(folder, issuer.issue(dns_names=[name]))


def zone(places: dict[str, str]) -> dict[tuple[str, str], Any]:
    records: dict[tuple[str, str], Any] = {}
    for label, address in places.items():
        domain = f"{label}.example"
        records[domain, "MX"] = [f"10 mx.{domain}."]
        records[f"mx.{domain}", "A"] = [address]
        records[f"mta-sts.{domain}", "A"] = ["127.0.0.1"]
        if CASES.get(label, (0, POLICY))[1] is not None:
            records[f"_mta-sts.{domain}", "TXT"] = ['"v=STSv1; id=1;"']
    return records


def connectors(port: int) -> str:
    return f"""
must:
  domains: [must.example, must-testing.example, must-missing.example, must-nothing.example]
  inbound: {{identity: none}}
  outbound: {{port: {port}, tls: {{mta_sts: mandatory}}}}
never:
  domains: [off.example]
  inbound: {{identity: none}}
  outbound: {{port: {port}, tls: {{level: opportunistic, mta_sts: off}}}}
default: {{outbound: {{port: {port}, tls: {{level: opportunistic}}}}}}
"""


def fetching(folder: Path, web: PolicyHost) -> str:
    return f"mta_sts: {{ca: {CA.write(folder / 'web-ca.pem')}, port: {web.port}}}"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("mta-sts")
    scripts = {label: host(folder, label, case[0]) for label, case in CASES.items()}
    places = {label: f"127.0.2.{number}" for number, label in enumerate(scripts, 1)}
    web_names = CA.issue(dns_names=[f"mta-sts.{label}.example" for label in CASES])
    with ExitStack() as stack:
        running = stack.enter_context(hosts_on_one_port(*((places[label], scripts[label]) for label in scripts)))
        web = stack.enter_context(policy_host(web_names, folder))
        web.policies.update({f"{label}.example": case[1] for label, case in CASES.items() if case[1]})
        dns = stack.enter_context(dns_server(zone(places)))
        server = f"{fetching(folder, web)}\nreports: {{dmarc: false}}"
        ours = stack.enter_context(outgoing(folder, connectors(running[0].port), dns=dns, server=server))
        yield World(ours, dict(zip(scripts, running, strict=True)), web)


@pytest.mark.parametrize("label", CASES)
def test_what_a_policy_says_holds(world: World, label: str) -> None:
    expected = CASES[label][2]
    id_ = world.ours.send(f"bob@{label}.example")
    peer = world.peers[label]
    if expected.startswith("tls="):
        [message] = peer.wait_for(1)
        world.ours.ends(id_)
        [attempt] = world.ours.attempts(id_)
        assert attempt["verdict"] == expected
        assert bool(message.tls) == (expected != "tls=none")
        told = attempt.get("published", {}).get("mta_sts", {})
        assert told.get("problem", "").partition(":")[0] == PROBLEMS.get(label, "")
    else:
        [attempt] = world.ours.waits(id_)["attempts"]
        assert attempt["failure"]["reason"].startswith(f"{expected}: ")
        assert nothing_was_said(peer.clear_bytes)
        if expected.startswith("sts-"):
            assert peer.connections == 0
    if label == "off":
        assert world.web.asked["off.example"] == 0


def test_redirects_are_not_followed_and_of_a_gigabyte_little_is_read(world: World) -> None:
    assert world.web.sent < 10_000_000


REPORTED = {
    "enforced": {("sts", "")},
    "unnamed": {("sts", "validation-failure")},
    "other-name": {("sts", "certificate-host-mismatch")},
    "other-ca": {("sts", "certificate-not-trusted")},
    "clear": {("sts", "starttls-not-supported")},
    "testing": {("sts", "starttls-not-supported")},
    "testing-ca": {("sts", "certificate-not-trusted")},
    "testing-mx": {("sts", "validation-failure")},
    "missing": {("sts", "sts-policy-fetch-error"), ("no-policy-found", "starttls-not-supported")},
}


def test_the_domains_can_be_told_what_came_of_their_policies(world: World) -> None:
    """Each session, and each policy that could not be had, is counted for the TLS report of the domain (RFC 8460)."""
    config = load(str(world.ours.relay.config))
    for label in REPORTED:
        id_ = world.ours.send(f"carol@{label}.example")
        delivered = CASES[label][2].startswith("tls=")
        world.ours.ends(id_) if delivered else world.ours.waits(id_)
    [(_, path)] = control_paths(config)
    ask_worker(path, {"command": "reports-write"})
    spool = report_spool(config)
    counted = read(line for day in spool.days() for line in spool.counts(day)).tls
    for label, expected in REPORTED.items():
        mine = [facts for facts in counted if facts.policy_domain == f"{label}.example"]
        assert {(facts.policy_type, facts.result_type) for facts in mine} == expected, label
    [good] = [facts for facts in counted if facts.policy_domain == "enforced.example"]
    assert good.mx_hosts == ("mx.enforced.example",)
    assert good.policy_strings[:2] == ("version: STSv1", "mode: enforce")
    assert good.sending_ip
    assert good.receiving_ip.startswith("127.0.2.")


def test_a_policy_outlives_restarts_its_host_and_its_record(tmp_path: Path) -> None:
    """Who attacks a domain takes the record and the policy host away, and puts a host of his own into the MX."""
    with ExitStack() as stack:
        good, evil = stack.enter_context(
            hosts_on_one_port(("127.0.2.1", host(tmp_path, "fabrikam", "mx.fabrikam.example")), ("127.0.2.2", BARE))
        )
        dns: DnsServer = stack.enter_context(dns_server(zone({"fabrikam": "127.0.2.1"})))
        rules = f"default: {{outbound: {{port: {good.port}, tls: {{level: opportunistic}}}}}}"
        with policy_host(CA.issue(dns_names=["mta-sts.fabrikam.example"]), tmp_path) as web:
            web.policies["fabrikam.example"] = POLICY
            server = fetching(tmp_path, web)
            with outgoing(tmp_path, rules, dns=dns, server=server) as ours:
                ours.ends(ours.send("bob@fabrikam.example"))
                assert web.asked["fabrikam.example"] == 1
                assert len(good.messages) == 1
        dns.zone.clear()
        dns.set("fabrikam.example", "MX", ["10 mx.evil.example."])
        dns.set("mx.evil.example", "A", ["127.0.2.2"])
        with outgoing(tmp_path, rules, dns=dns, server=server) as ours:
            id_ = ours.send("bob@fabrikam.example")
            [attempt] = ours.waits(id_)["attempts"]
            assert attempt["failure"]["reason"].startswith("sts-mx: mx.evil.example")
            assert evil.connections == 0


# domain label -> TLSA records match the host, the policy names it; and what comes of it
TOGETHER = {
    "dane-alone": (True, False, "tls=verified:dane"),  # the policy is out of date: signed DNS knows better
    "both": (True, True, "tls=verified:dane"),
    "mismatch": (False, True, "certificate-tlsa"),  # a sound policy does not mend it
}


def test_a_policy_never_overrides_dane(tmp_path: Path) -> None:
    """Whether DANE holds or fails, the policy changes nothing: RFC 8461 §2."""
    certificates = {label: CA.issue(dns_names=[f"mx.{label}.example"]) for label in TOGETHER}
    places = {label: f"127.0.2.{number}" for number, label in enumerate(TOGETHER, 1)}
    with ExitStack() as stack:
        peers = stack.enter_context(
            hosts_on_one_port(*((places[label], secure(tmp_path, certificates[label])) for label in TOGETHER))
        )
        port, records = peers[0].port, zone(places)
        for label, (matches, _, _) in TOGETHER.items():
            pin = certificates[label].cert_pin.removeprefix("cert-sha256:") if matches else "ab" * 32
            records[f"_{port}._tcp.mx.{label}.example", "TLSA"] = [f"3 0 1 {pin}"]
        web = stack.enter_context(
            policy_host(CA.issue(dns_names=[f"mta-sts.{label}.example" for label in TOGETHER]), tmp_path)
        )
        for label, (_, named, _) in TOGETHER.items():
            web.policies[f"{label}.example"] = POLICY if named else POLICY.replace("mx.{domain}", "old.{domain}")
        dns = stack.enter_context(dns_server(records, secure=True))
        server = f"""{fetching(tmp_path, web)}
dns: {{nameservers: ["{dns.host}:{dns.port}"], trust_ad: true}}"""
        rules = f"default: {{outbound: {{port: {port}, tls: {{level: opportunistic}}}}}}"
        ours = stack.enter_context(outgoing(tmp_path, rules, server=server))
        for peer, (label, (_, named, expected)) in zip(peers, TOGETHER.items(), strict=True):
            id_ = ours.send(f"bob@{label}.example")
            if expected.startswith("tls="):
                ours.ends(id_)
                assert ours.attempts(id_)[-1]["verdict"] == expected
            else:
                [attempt] = ours.waits(id_)["attempts"]
                assert attempt["failure"]["reason"].startswith(f"{expected}: ")
                assert nothing_was_said(peer.clear_bytes)
            assert ours.attempts(id_)[-1]["published"]["mta_sts"]["state"] == ("named" if named else "unnamed")
