"""The programs that sign and judge most of the world's mail agree with us: OpenDKIM at Postfix, and rspamd."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.client import send
from tests.support.dns_server import Zone, dns_server
from tests.support.opendkim import opendkim
from tests.support.postfix import postfix
from tests.support.programs import needs
from tests.support.rspamd import rspamd
from tests.support.running_mta import RunningMta, running_mta
from tests.support.signatures import ed25519_key, pem, record, rsa_key
from tests.support.smtp_peer import SmtpPeer, smtp_peer

pytestmark = [pytest.mark.peer]

ODD = (
    b"From: =?utf-8?q?Bob?=\r\n <bob@fabrikam.example>\r\nTo:alice@contoso.example\r\n"
    b"Subject:  folded\r\n\tand  spaced \r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <odd@fabrikam.example>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit\r\n\r\n"
    b"Gr\xc3\xbc\xc3\x9fe \t \r\n\r\n.a dot\r\n" + b"x" * 900 + b"\r\n \r\n\r\n\r\n"
)


def txt(value: bytes) -> list[str]:
    """A TXT record as zone files write it."""
    text = value.decode()
    return [" ".join(f'"{text[start : start + 250]}"' for start in range(0, len(text), 250))]


ZONE: Zone = {
    ("r._domainkey.fabrikam.example", "TXT"): txt(record(rsa_key())),
    ("e._domainkey.fabrikam.example", "TXT"): txt(record(ed25519_key())),
    ("arc._domainkey.contoso.example", "TXT"): txt(record(rsa_key())),
    ("fabrikam.example", "TXT"): txt(b"v=spf1 ip4:127.0.0.1 ip4:192.0.2.1 -all"),
    ("_dmarc.fabrikam.example", "TXT"): txt(b"v=DMARC1; p=reject"),
}


def keys(folder: Path) -> None:
    (folder / "r.key").write_bytes(pem(rsa_key()))
    (folder / "e.key").write_bytes(ed25519_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for name in ("r.key", "e.key"):
        (folder / name).chmod(0o600)


@contextmanager
def contoso(folder: Path, dns_port: int) -> Iterator[tuple[RunningMta, SmtpPeer]]:
    """Our relay demands an aligned signature of Fabrikam, and seals what goes to its mailboxes."""
    keys(folder)
    with smtp_peer() as mailbox:
        text = f"""
        server:
          hostname: mx.contoso.example
          listen: [{{address: "127.0.0.1:{{port}}"}}]
          workers: 1
          log: {{format: json}}
          dns: {{nameservers: ["127.0.0.1:{dns_port}"]}}
          arc: {{domain: contoso.example, selector: arc, key: r.key}}
        domains:
          contoso.example: {{deliver_to: ["127.0.0.1:{mailbox.port}"], connector: cloud}}
        connectors:
          cloud: {{outbound: {{tls: {{level: none}}, arc: seal}}}}
          fabrikam:
            domains: [fabrikam.example]
            inbound: {{identity: none, authentication: {{dkim: aligned, min_rsa_bits: 2048}}}}
        """
        with running_mta(folder, text) as relay:
            yield relay, mailbox


@contextmanager
def fabrikam(folder: Path, next_hop: int) -> Iterator[RunningMta]:
    """Fabrikam signs with our relay, with both kinds of keys."""
    keys(folder)
    text = f"""
    server: {{hostname: mx.fabrikam.example, listen: [{{address: "127.0.0.1:{{port}}"}}], workers: 1,
              log: {{format: json}}}}
    domains:
      fabrikam.example:
        deliver_to: ["127.0.0.1:{next_hop}"]
        dkim: [{{selector: r, key: r.key}}, {{selector: e, key: e.key}}]
    connectors:
      internal: {{relay: true, inbound: {{networks: [127.0.0.0/8]}}}}
      world: {{domains: [contoso.example], inbound: {{identity: none}},
               outbound: {{route: {{hosts: ["127.0.0.1:{next_hop}"]}}, tls: {{level: none}}}}}}
    """
    with running_mta(folder, text) as relay:
        yield relay


@needs("postfix", "opendkim", root=True)
def test_what_opendkim_signs_on_its_way_from_postfix_passes_here(tmp_path: Path) -> None:
    keys(tmp_path)
    with (
        dns_server(ZONE) as names,
        opendkim(names.port, signs=("fabrikam.example", "r", tmp_path / "r.key")) as milter,
        contoso(tmp_path, names.port) as (relay, mailbox),
        postfix({"relayhost": f"[127.0.0.1]:{relay.port}", "smtpd_milters": milter.socket}) as partner,
    ):
        partner.send("bob@fabrikam.example", ["alice@contoso.example"], ODD)
        partner.wait_for_log(r"status=sent .*250 2.0.0")
        mailbox.wait_for(1)
        arrived = mailbox.messages[0].data
        results = arrived[arrived.index(b"\r\nAuthentication-Results: mx.contoso.example;") :]
        assert b"dkim=pass (2048-bit key) header.d=fabrikam.example" in results
        assert b"dmarc=pass" in results.partition(b"Received:")[0]


@needs("postfix", "opendkim", root=True)
def test_what_we_sign_passes_opendkim_at_postfix(tmp_path: Path) -> None:
    """Both signatures, RSA and Ed25519, over a message that is easily broken."""
    with (
        dns_server(ZONE) as names,
        opendkim(names.port) as milter,
        postfix({"smtpd_milters": milter.socket}, domains=["contoso.example"]) as partner,
        fabrikam(tmp_path, partner.port) as relay,
    ):
        sent = send(relay.port, "bob@fabrikam.example", ["alice@contoso.example"], ODD)
        assert sent.accepted, sent
        [raw] = partner.wait_for_mail(1)
        results = re.findall(rb"dkim=(\w+).*?header\.s=(\w+)", raw, re.DOTALL)
        assert {selector: result for result, selector in results} == {b"r": b"pass", b"e": b"pass"}, raw[:3000]


@needs("rspamd")
def test_what_we_sign_and_seal_passes_rspamd(tmp_path: Path) -> None:
    """Signed by the one relay, judged and sealed by the other: rspamd agrees with both, and sees an alteration."""
    (tmp_path / "fabrikam").mkdir()
    (tmp_path / "contoso").mkdir()
    with (
        dns_server(ZONE) as names,
        rspamd(names.port) as judge,
        contoso(tmp_path / "contoso", names.port) as (ours, mailbox),
        fabrikam(tmp_path / "fabrikam", ours.port) as theirs,
    ):
        assert send(theirs.port, "bob@fabrikam.example", ["alice@contoso.example"], ODD).accepted
        mailbox.wait_for(1)
        raw = mailbox.messages[0].data
        assert raw.startswith(b"ARC-Seal:")
        where = {"client": "192.0.2.1", "sender": "bob@fabrikam.example", "helo": "mx.fabrikam.example"}
        found = judge.symbols(raw, **where)
        assert {"R_DKIM_ALLOW", "R_SPF_ALLOW", "DMARC_POLICY_ALLOW", "ARC_ALLOW"} <= found.keys(), found
        assert sorted(found["R_DKIM_ALLOW"]) == ["fabrikam.example:s=e", "fabrikam.example:s=r"]
        altered = judge.symbols(raw.replace(b".a dot", b".a dog"), **where)
        assert {"R_DKIM_REJECT", "ARC_REJECT"} <= altered.keys(), altered
