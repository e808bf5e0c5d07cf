"""Pairs that cannot be used are refused in words, and what is offered is sane."""

from __future__ import annotations

from pathlib import Path

import pytest
from OpenSSL import SSL

from mta.adapters.tls.context import client_context, server_context
from mta.errors import ConfigurationError
from tests.support.pki import authority


def test_old_and_anonymous_ciphers_are_not_offered() -> None:
    ciphers = SSL.Connection(client_context(), None).get_cipher_list()
    assert ciphers[0].startswith("TLS_")
    assert "ECDHE-RSA-AES128-GCM-SHA256" in ciphers
    for word in ("RC4", "3DES", "DES-", "NULL", "EXP", "ADH", "AECDH", "PSK", "MD5"):
        assert not [cipher for cipher in ciphers if word in cipher]


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"'1\.1': expected 1\.2 or 1\.3"):
        client_context("1.1")


@pytest.mark.parametrize("damage", ["no file", "no certificate", "other key", "no key", "swapped"])
def test_a_pair_that_cannot_be_used_is_refused_by_name(tmp_path: Path, damage: str) -> None:
    chain, key = authority().issue(dns_names=["a.example"]).write(tmp_path, "a")
    _, other_key = authority().issue(dns_names=["b.example"]).write(tmp_path, "b")
    if damage == "no file":
        chain.unlink()
    elif damage == "no certificate":
        chain.write_text("nothing")
    elif damage == "other key":
        key = other_key
    elif damage == "no key":
        key.write_text("nothing")
    else:
        chain, key = key, chain
    with pytest.raises(ConfigurationError, match=str(tmp_path)):
        server_context(chain, key, ask_client=False)
    with pytest.raises(ConfigurationError, match=str(tmp_path)):
        client_context(certificate=(chain, key))


def test_a_key_too_small_for_tls_is_refused(tmp_path: Path) -> None:
    pair = authority().issue(dns_names=["a.example"], key="rsa-1024").write(tmp_path, "a")
    with pytest.raises(ConfigurationError, match="cannot be used for TLS"):
        server_context(*pair, ask_client=False)


@pytest.mark.parametrize("key", ["ec-p256", "ec-p384", "rsa-2048", "ed25519"])
def test_usual_kinds_of_keys_are_taken(tmp_path: Path, key: str) -> None:
    pair = authority().issue(dns_names=["a.example"], key=key).write(tmp_path, "a")
    assert isinstance(server_context(*pair, ask_client=True), SSL.Context)
