"""The maker of throw-away PKIs."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509

from mta.adapters.pki import Authority, make_key, self_signed


def test_a_chain_leads_from_the_leaf_to_below_the_root() -> None:
    root = Authority("Root")
    issued = root.intermediate("Middle").intermediate("Lower").issue(dns_names=["a.example"])
    subjects = [each.subject.rfc4514_string() for each in (issued.certificate, *issued.chain)]
    assert subjects == ["CN=a.example", "CN=Lower", "CN=Middle"]
    above = [*issued.chain, root.certificate]
    for certificate, issuer in zip((issued.certificate, *issued.chain), above, strict=True):
        certificate.verify_directly_issued_by(issuer)


def test_keys_are_written_for_their_owner_alone_even_over_an_open_file(tmp_path: Path) -> None:
    (tmp_path / "mx.key").write_text("old")
    (tmp_path / "mx.key").chmod(0o644)
    chain, key = Authority("Root").intermediate("Middle").issue(dns_names=["mx.example"]).write(tmp_path, "mx")
    assert (chain.name, key.name) == ("mx.pem", "mx.key")
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(x509.load_pem_x509_certificates(chain.read_bytes())) == 2
    assert "old" not in key.read_text()


def test_a_key_can_be_used_again_and_unknown_kinds_are_refused() -> None:
    key = make_key("ec-p384")
    assert self_signed(key=key).key is key
    with pytest.raises(ValueError, match="unknown kind of key 'rot13'"):
        make_key("rot13")
