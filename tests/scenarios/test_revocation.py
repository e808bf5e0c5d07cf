"""A partner's certificate is taken back: mail to it waits, mail from it is refused, and each says why."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.x509 import ocsp

from tests.support.client import Tls, send
from tests.support.outgoing import Outgoing, outgoing
from tests.support.pki import NOW, Authority, Issued, authority, crl, staple
from tests.support.running_mta import until
from tests.support.smtp_peer import PeerTls, Script, SmtpPeer, smtp_peer
from tests.support.stapling import StaplingTls

NAME = "mail.fabrikam.example"
FABRIKAM = Authority("Fabrikam Root")
GOOD, BAD = FABRIKAM.issue(dns_names=[NAME]), FABRIKAM.issue(dns_names=[NAME])
TLS = f"names: [{NAME}], ca: fabrikam-ca.pem"

# connector: the keys of its TLS, who answers with what stapled; then the word of the reason, or none where it arrives
OUT = {
    "list-good": ("crl: [fabrikam.crl]", GOOD, b"", ""),
    "list-revoked": ("crl: [fabrikam.crl]", BAD, b"", "certificate-revoked"),
    "soft-revoked": ("crl: [fabrikam.crl], revocation: soft", BAD, b"", "certificate-revoked"),
    "list-stale": ("crl: [stale.crl]", GOOD, b"", "revocation-unknown"),
    "staple-good": ("revocation: hard", GOOD, staple(FABRIKAM, GOOD), ""),
    "staple-revoked": (
        "",
        BAD,
        staple(FABRIKAM, BAD, status=ocsp.OCSPCertStatus.REVOKED),
        "certificate-revoked",
    ),
    "staple-missing": ("revocation: hard", GOOD, b"", "revocation-unknown"),
    "staple-of-another": ("revocation: hard", BAD, staple(FABRIKAM, GOOD), "revocation-unknown"),
    "soft-unknown": ("revocation: soft", GOOD, b"", ""),
    "not-asked": ("crl: [fabrikam.crl], revocation: off", BAD, b"", ""),
}
INBOUND = f"""
bank:
  domains: [bank.example]
  inbound: {{tls: {{client_certificate: {{{TLS}, crl: [fabrikam.crl]}}}}}}
late:
  domains: [late.example]
  inbound: {{tls: {{client_certificate: {{{TLS}, crl: [stale.crl]}}}}}}
"""


STALE = crl(FABRIKAM, next=NOW - timedelta(hours=1))


@dataclass
class World:
    ours: Outgoing
    peers: dict[str, SmtpPeer]
    folder: Path


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("revocation")
    FABRIKAM.write(folder / "fabrikam-ca.pem")
    (folder / "fabrikam.crl").write_bytes(crl(FABRIKAM, BAD))
    (folder / "stale.crl").write_bytes(STALE)
    authority("Contoso Root").issue(dns_names=["mx.contoso.example"]).write(folder, "ours")
    pairs = {each: each.write(folder, name) for name, each in (("good", GOOD), ("bad", BAD))}
    with ExitStack() as stack:
        peers, connectors = {}, [INBOUND]
        for name, (keys, issued, stapled, _) in OUT.items():
            chain, key = map(str, pairs[issued])
            tls = StaplingTls(chain, key, staple=stapled) if stapled else PeerTls(chain, key)
            peers[name] = stack.enter_context(smtp_peer(Script(tls=tls)))
            demanded = f"{TLS}, {keys}" if keys else TLS
            route = f'{{hosts: ["127.0.0.1:{peers[name].port}"]}}'
            connectors.append(
                f"{name}: {{domains: [{name}.example], inbound: {{identity: none}},"
                f" outbound: {{route: {route}, tls: {{{demanded}}}}}}}\n"
            )
        server = "certificate: {chain: ours.pem, key: ours.key}\nwatch: 0.1s"
        ours = stack.enter_context(outgoing(folder, "".join(connectors), server=server))
        yield World(ours, peers, folder)


@pytest.mark.parametrize("name", OUT)
def test_mail_goes_to_whom_it_may_and_else_waits_and_says_why(world: World, name: str) -> None:
    word, peer = OUT[name][3], world.peers[name]
    id_ = world.ours.send(f"bob@{name}.example")
    if not word:
        peer.wait_for(1)
        world.ours.ends(id_)
    else:
        assert word in world.ours.waits(id_)["reason"]
        assert (peer.messages, b"MAIL" in peer.clear_bytes) == ([], False)
    [attempt] = world.ours.attempts(id_)
    state = {"certificate-revoked": "revoked", "revocation-unknown": "unknown", "": "good"}[word]
    known = attempt.get("revocation", "")
    assert known == "" if name in ("soft-unknown", "not-asked") else known.startswith(f"{state}: ")
    assert attempt["days_left"] == 89
    assert attempt["tls"]["chain"][0]["signed"] == "ecdsa-with-sha256"


@pytest.mark.parametrize(
    ("sender", "shown", "reply"),
    [
        ("a@bank.example", GOOD, ""),
        ("a@bank.example", BAD, "550 5.7.1 the client certificate presented for bank.example has been revoked"),
        ("a@late.example", GOOD, "451 4.7.1 whether the client certificate presented for late.example is revoked"),
    ],
)
def test_mail_that_comes_in_hears_it_at_mail_from(world: World, sender: str, shown: Issued, reply: str) -> None:
    sent = send(world.ours.relay.port, sender, ["bob@contoso.example"], tls=Tls(shown))
    assert sent.accepted if not reply else sent.mail.startswith(reply)


def test_a_renewed_list_opens_the_door_by_itself(world: World) -> None:
    port, ours = world.ours.relay.port, ["bob@contoso.example"]
    assert send(port, "a@late.example", ours, tls=Tls(GOOD)).mail.startswith("451 4.7.1")
    fresh = world.folder / "fresh.crl"
    fresh.write_bytes(crl(FABRIKAM, BAD))
    os.replace(fresh, world.folder / "stale.crl")
    until(lambda: send(port, "a@late.example", ours, tls=Tls(GOOD)).accepted, describe=world.ours.relay.story)
    assert send(port, "a@late.example", ours, tls=Tls(BAD)).mail.startswith("550 5.7.1")
