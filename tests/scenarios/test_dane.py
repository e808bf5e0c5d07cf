"""DANE with a validating resolver: what signed DNS says of a host's certificate holds, and nothing makes it weaker."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mta.adapters.pki import Issued
from mta.rfc.pkix.certificate import public_key_info
from tests.scenarios.test_forced_tls_out import LINES, nothing_was_said, secure
from tests.support.outgoing import Outgoing, hosts_on_one_port, outgoing
from tests.support.pki import Authority, authority, self_signed
from tests.support.postfix import postfix
from tests.support.programs import needs
from tests.support.signed_dns import Unbound, Zone, unbound
from tests.support.smtp_peer import Script, SmtpPeer

pytestmark = [pytest.mark.peer, needs("unbound")]

CA = authority("Dane CA")
MIDDLE = CA.intermediate("Dane Middle CA")
ALONE = self_signed(dns_names=["who.knows.example"])
EXPIRED = Authority("Nobody").issue_expired(dns_names=["other.example"])
OTHER = "3 1 1 " + "ab" * 32
BARE = Script()


def tlsa(usage: int, selector: int, matching: int, der: bytes) -> str:
    part = public_key_info(der) if selector else der
    data = part if not matching else (hashlib.sha256, hashlib.sha512)[matching - 1](part).digest()
    return f"{usage} {selector} {matching} {data.hex()}"


def under(issuer: Authority, name: str, **wishes: Any) -> Issued:
    return issuer.issue(dns_names=[name], **wishes)


def alone(issued: Issued) -> Issued:
    """Without the CAs that should stand beside it."""
    return Issued(issued.certificate, issued.key)


AGREED = under(CA, "agreed.example")
GOOD = tlsa(3, 1, 1, ALONE.der)
ANCHOR = tlsa(2, 0, 1, MIDDLE.der)

# domain label -> the host's certificate (None: no TLS), its TLSA records, and what comes of it: a verdict, or the
# first word of why the mail waits. Everything is under the level `opportunistic`, which permits plaintext.
CASES: dict[str, tuple[Issued | None, list[str], str]] = {
    "key": (ALONE, [GOOD], "tls=verified:dane"),
    "certificate-512": (ALONE, [tlsa(3, 0, 2, ALONE.der)], "tls=verified:dane"),
    "whole-key": (ALONE, [tlsa(3, 1, 0, ALONE.der)], "tls=verified:dane"),
    "expired": (EXPIRED, [tlsa(3, 1, 1, EXPIRED.der)], "tls=verified:dane"),
    "rolled-over": (ALONE, [OTHER, GOOD], "tls=verified:dane"),
    "other-key": (ALONE, [OTHER], "certificate-tlsa"),
    "weaker-digest": (ALONE, [GOOD, "3 1 2 " + "cd" * 64], "certificate-tlsa"),
    "anchor": (under(MIDDLE, "mx.anchor.signed.example"), [ANCHOR], "tls=verified:dane"),
    "anchor-domain": (under(MIDDLE, "anchor-domain.signed.example"), [ANCHOR], "tls=verified:dane"),
    "anchor-unsent": (alone(under(MIDDLE, "mx.anchor-unsent.signed.example")), [ANCHOR], "certificate-tlsa"),
    "anchor-in-record": (under(MIDDLE, "mx.anchor-in-record.signed.example"), [tlsa(2, 0, 0, CA.der)],
        "tls=verified:dane"),
    "anchor-name": (under(MIDDLE, "mx.elsewhere.example"), [ANCHOR], "certificate-name"),
    "anchor-expired": (MIDDLE.issue_expired(dns_names=["mx.anchor-expired.signed.example"]), [ANCHOR],
        "certificate-expired"),
    "unusable": (ALONE, [tlsa(0, 0, 1, ALONE.der), "3 1 1 abcd"], "tls=encrypted"),
    "unusable-clear": (None, [tlsa(1, 1, 1, ALONE.der)], "starttls-not-offered"),
    "clear": (None, [GOOD], "starttls-not-offered"),
    "none": (None, [], "tls=none"),
    "none-tls": (ALONE, [], "tls=encrypted"),
    "bogus": (ALONE, [GOOD], "dane-unknown"),
    "bogus-address": (ALONE, [GOOD], "dns"),
    "bogus-mx": (ALONE, [GOOD], "dns"),
    "alias": (ALONE, [], "tls=verified:dane"),
    "alias-out": (ALONE, [GOOD], "tls=verified:dane"),
    "half": (ALONE, [GOOD], "tls=encrypted:halfdane"),
    "half-other": (ALONE, [OTHER], "certificate-tlsa"),
    "unsigned": (None, [OTHER], "tls=none"),
    "must": (ALONE, [], "dane-required"),
    "must-half": (ALONE, [GOOD], "dane-required"),
    "must-have": (ALONE, [GOOD], "tls=verified:dane"),
    "both": (ALONE, [GOOD], "certificate-untrusted"),
    "both-good": (AGREED, [tlsa(3, 1, 1, AGREED.der)], "tls=verified:dane"),
    "off": (ALONE, [OTHER], "tls=encrypted"),
}  # fmt: skip
FAULTS = ("starttls-454", "garbage-after-220", "broken-handshake", "injected")


def domain(label: str) -> str:
    unsigned = label.startswith(("half", "must-half", "unsigned"))
    return f"{label}.open.example" if unsigned else f"{label}.signed.example"


@dataclass
class World:
    ours: Outgoing
    peers: dict[str, SmtpPeer]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("dane")
    CA.write(folder / "dane-ca.pem")
    scripts = {label: secure(folder, case[0]) if case[0] else BARE for label, case in CASES.items()}
    scripts |= {f"fault-{fault}": LINES[fault][0] for fault in FAULTS}
    places = {label: f"127.0.1.{number}" for number, label in enumerate(scripts, 1)}
    with ExitStack() as stack:
        running = stack.enter_context(hosts_on_one_port(*((places[label], scripts[label]) for label in scripts)))
        port = running[0].port
        dns = stack.enter_context(unbound(zones(places, port)))
        ours = stack.enter_context(outgoing(folder, connectors(port), server=believed(dns), limits="tls_timeout: 1"))
        yield World(ours, dict(zip(scripts, running, strict=True)))


def believed(dns: Unbound) -> str:
    return f'dns: {{nameservers: ["{dns.host}:{dns.port}"], trust_ad: true}}'


def zones(places: dict[str, str], port: int) -> list[Zone]:
    """A signed zone with all hosts, and an unsigned one with domains whose MX records lead there."""
    signed: dict[tuple[str, str], list[str]] = {}
    unsigned: dict[tuple[str, str], list[str]] = {}
    for label, address in places.items():
        records = CASES[label][1] if label in CASES else [GOOD]
        mx = f"mx.{label}"
        (unsigned if domain(label).endswith("open.example") else signed)[label, "MX"] = [f"10 {mx}.signed.example."]
        if label == "unsigned":
            unsigned[label, "MX"] = [f"10 {mx}.open.example."]
            unsigned[mx, "A"], unsigned[f"_{port}._tcp.{mx}", "TLSA"] = [address], records
            continue
        signed[mx, "A"] = [address]
        if records:
            signed[f"_{port}._tcp.{mx}", "TLSA"] = records
    signed["real.alias", "A"] = signed.pop(("mx.alias", "A"))
    signed["mx.alias", "CNAME"] = ["real.alias.signed.example."]
    signed[f"_{port}._tcp.real.alias", "TLSA"] = [GOOD]
    unsigned["far", "A"] = signed.pop(("mx.alias-out", "A"))
    signed["mx.alias-out", "CNAME"] = ["far.open.example."]
    return [
        Zone(
            "signed.example",
            signed,
            broken=[(f"_{port}._tcp.mx.bogus", "TLSA"), ("mx.bogus-address", "A"), ("bogus-mx", "MX")],
        ),
        Zone("open.example", unsigned, signed=False),
    ]


def connectors(port: int) -> str:
    return f"""
must:
  domains: [must.signed.example, must-have.signed.example, must-half.open.example]
  inbound: {{identity: none}}
  outbound: {{port: {port}, tls: {{dane: mandatory}}}}
both:
  domains: [both.signed.example, both-good.signed.example]
  inbound: {{identity: none}}
  outbound: {{port: {port}, tls: {{names: [agreed.example], ca: dane-ca.pem}}}}
never:
  domains: [off.signed.example]
  inbound: {{identity: none}}
  outbound: {{port: {port}, tls: {{dane: off}}}}
default: {{outbound: {{port: {port}, tls: {{level: opportunistic}}}}}}
"""


@pytest.mark.parametrize("label", CASES)
def test_what_signed_dns_says_holds(world: World, label: str) -> None:
    expected = CASES[label][2]
    id_ = world.ours.send(f"bob@{domain(label)}")
    peer = world.peers[label]
    if expected.startswith("tls="):
        [message] = peer.wait_for(1)
        assert world.ours.ends(id_) == {f"bob@{domain(label)}": "delivered"}
        assert world.ours.attempts(id_)[-1]["verdict"] == expected
        assert bool(message.tls) == (expected != "tls=none")
        return
    event = world.ours.waits(id_)
    assert f"{expected}: " in event["reason"] + str(event.get("attempts")), event
    assert nothing_was_said(peer.clear_bytes)
    assert not any(command.startswith(("MAIL", "RCPT", "DATA")) for command in peer.commands)
    if expected.startswith("dane-"):
        assert peer.connections == 0


@pytest.mark.parametrize("fault", FAULTS)
def test_who_tampers_with_a_host_that_has_tlsa_records_gets_nothing(world: World, fault: str) -> None:
    """Without the records all but `injected` would go out in clear: the contract permits it."""
    peer = world.peers[f"fault-{fault}"]
    id_ = world.ours.send(f"bob@fault-{fault}.signed.example")
    [attempt] = world.ours.waits(id_)["attempts"]
    assert attempt["failure"]["reason"].startswith(f"{LINES[fault][1]}: ")
    assert attempt["requirement"] == f"verified:dane=mx.fault-{fault}.signed.example"
    assert nothing_was_said(peer.clear_bytes)


def tried(ours: Outgoing, recipient: str) -> dict[str, Any]:
    """The attempt for a message of its own, at once even where its destination is known to be down."""
    id_ = ours.send(recipient)
    ours.waits(id_)
    ours.retry(id_)
    attempt: dict[str, Any]
    [attempt] = ours.waits(id_, 2)["attempts"]
    return attempt


def test_the_evidence_tells_what_was_found(world: World) -> None:
    attempt = tried(world.ours, "bob@other-key.signed.example")
    base = "mx.other-key.signed.example"
    assert attempt["published"]["dane"] == {
        "state": "usable",
        "base": base,
        "records": ["3 1 1 abababababababab…"],
        "mx": "secure",
    }
    assert (attempt["requirement"], attempt["verdict"]) == (f"verified:dane={base}", "tls=encrypted!verified:dane")
    assert attempt["tls"]["sni"] == base


@needs("postfix", root=True)
def test_postfix_is_judged_by_what_its_domain_publishes(tmp_path: Path) -> None:
    """Good, expired, with another name, and at last rolled over to a self-signed one that was published beside."""
    name = "mx.partner.example"
    shown = {
        "good": under(MIDDLE, name),
        "expired": MIDDLE.issue_expired(dns_names=[name]),
        "other-name": under(MIDDLE, "mx.elsewhere.example"),
        "rolled-over": ALONE,
    }
    files = {word: issued.write(tmp_path, word) for word, issued in shown.items()}

    def settings(word: str) -> dict[str, str]:
        chain, key = files[word]
        return {"smtpd_tls_security_level": "may", "smtpd_tls_chain_files": f"{key}, {chain}"}

    with postfix(settings("good"), domains=["partner.example"]) as partner:
        records = {
            ("@", "MX"): ["10 mx"],
            ("mx", "A"): ["127.0.0.1"],
            (f"_{partner.port}._tcp.mx", "TLSA"): [ANCHOR, GOOD],
        }
        with unbound([Zone("partner.example", records)]) as dns:
            rules = f"default: {{outbound: {{port: {partner.port}, tls: {{level: opportunistic}}}}}}"
            with outgoing(tmp_path, rules, server=believed(dns), limits="idle_timeout: 0") as ours:
                assert ours.ends(ours.send("bob@partner.example")) == {"bob@partner.example": "delivered"}
                for word, reason in (("expired", "certificate-expired"), ("other-name", "certificate-name")):
                    partner.configure(settings(word))
                    attempt = tried(ours, "bob@partner.example")
                    assert attempt["failure"]["reason"].startswith(f"{reason}: "), word
                    assert attempt["verdict"] == "tls=encrypted!verified:dane"
                partner.configure(settings("rolled-over"))
                assert len(ours.ask("retry", all=True)["changed"]) == 2
                assert len(partner.wait_for_mail(3)) == 3
