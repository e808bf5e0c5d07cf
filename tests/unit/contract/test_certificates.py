"""Everything that ends is found where it is named, once."""

from __future__ import annotations

from pathlib import Path

from mta.contract.certificates import known_certificates
from tests.support.pki import crl
from tests.unit.config.support import NOW, at, built, issue, root

TEXT = """
server: {hostname: mx.contoso.example, certificate: {chain: own.pem, key: own.key}}
domains:
  contoso.example: {deliver_to: [localhost], dkim: [{selector: s1, key: own-dkim.key, until: 2026-07-01}]}
connectors:
  fabrikam:
    domains: [fabrikam.example]
    inbound: {tls: {client_certificate: {names: [a.example], ca: ca.pem, crl: [a.crl]}}}
    outbound:
      client_certificate: {chain: own.pem, key: own.key}
      tls: {names: [a.example], ca: ca.pem, pins: ["PIN"]}
  default: {}
"""


def test_each_is_found_where_it_is_named(tmp_path: Path) -> None:
    own = issue(ends=20.5)
    own.write(tmp_path, "own")
    issue_key = root().issue(dns_names=["k.example"], key="ed25519", not_before=at(-1), not_after=at(9))
    (tmp_path / "own-dkim.key").write_bytes(issue_key.key_pem)
    root().write(tmp_path / "ca.pem")
    (tmp_path / "a.crl").write_bytes(crl(root(), last=at(-1), next=at(6.5)))
    found = known_certificates(built(TEXT.replace("PIN", own.spki_pin), tmp_path))
    now = NOW.timestamp()
    rows = [(each.kind, each.where, each.days_left(now) if each.not_after else None) for each in found]
    path = "connectors.fabrikam"
    assert rows == [
        ("own", "server.certificate", 20),
        ("dkim", "domains.contoso.example.dkim[0]", 30),
        ("ca", f"{path}.inbound.tls.client_certificate.ca", 1000),
        ("crl", f"{path}.inbound.tls.client_certificate.crl", 6),
        ("client", f"{path}.outbound.client_certificate", 20),
        ("ca", f"{path}.outbound.tls.ca", 1000),
        ("pin", f"{path}.outbound.tls.pins", None),
    ]
    assert found[0].subject == "CN=mx.contoso.example"
    assert found[-1].subject == own.spki_pin


def test_what_has_gone_since_gives_nothing(tmp_path: Path) -> None:
    issue().write(tmp_path, "own")
    text = "server: {hostname: a.example, certificate: {chain: own.pem, key: own.key}}"
    configuration = built(text, tmp_path)
    (tmp_path / "own.pem").unlink()
    assert known_certificates(configuration) == []


def test_what_smime_of_partners_rests_on(tmp_path: Path) -> None:
    root().write(tmp_path / "ca.pem")
    (tmp_path / "ca.crl").write_bytes(crl(root(), last=at(-1), next=at(6.5)))
    (tmp_path / "bob.pem").write_bytes(issue(ends=5.5).chain_pem)
    text = """
    server: {hostname: a.example}
    connectors:
      fabrikam:
        domains: [fabrikam.example]
        inbound: {identity: none}
        outbound: {smime: {domain_certificate: bob.pem}}
    directory:
      sources: [{type: ldap, url: "ldaps://a.example", base: "dc=a", ca: ca.pem}]
      trust: {anchors: ca.pem, intermediates: ca.pem, crls: ca.crl}
    """
    now = NOW.timestamp()
    found = [(each.kind, each.where, each.days_left(now)) for each in known_certificates(built(text, tmp_path))]
    assert found == [
        ("ca", "directory.trust.anchors", 1000),
        ("ca", "directory.trust.intermediates", 1000),
        ("crl", "directory.trust.crls", 6),
        ("ca", "directory.sources[0].ca", 1000),
        ("smime", "connectors: outbound.smime", 5),
    ]
