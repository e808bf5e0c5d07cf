"""A configuration can be handed to another process, whole and still read-only."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from tests.support.pki import crl
from tests.unit.config.support import at, built, issue, root

TEXT = """
server: {hostname: mx.contoso.example, certificate: {chain: own.pem, key: own.key}, reports: {}, probe: {}}
domains: {contoso.example: {deliver_to: [localhost], recipients: people}}
connectors:
  fabrikam:
    domains: [fabrikam.example, "*.fabrikam.example"]
    inbound:
      networks: [192.0.2.0/24, "2001:db8::/32"]
      tls: {client_certificate: {names: [a.example], ca: ca.pem, crl: [a.crl]}}
    outbound: {tls: {ca: ca.pem}, smime: {sign: always}}
directory: {sources: [{type: smimea}], trust: {anchors: ca.pem}}
"""


def test_what_is_handed_on_is_the_same(tmp_path: Path) -> None:
    own = issue()
    own.write(tmp_path, "own")
    root().write(tmp_path / "ca.pem")
    (tmp_path / "a.crl").write_bytes(crl(root(), own, last=at(-1), next=at(6)))
    (tmp_path / "people").write_text("alice@contoso.example\n")
    before = built(TEXT, tmp_path)
    after = pickle.loads(pickle.dumps(before))
    assert after == before
    assert after.server.certificate.pem == (own.chain_pem, own.key_pem)
    assert after.connectors["fabrikam"].inbound.tls.client_certificate.revocation.lists[0].serials
    with pytest.raises(TypeError):
        after.connectors["new"] = before.default


def test_private_keys_are_never_shown(tmp_path: Path) -> None:
    issue().write(tmp_path, "own")
    text = "server: {hostname: a.example, certificate: {chain: own.pem, key: own.key}}"
    assert "PRIVATE" not in repr(built(text, tmp_path))
