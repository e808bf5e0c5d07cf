"""Profiles say the least; what a recipient can read raises it and never lowers it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.errors import SmimeError
from mta.rfc.smime.profile import PROFILES, WORDS, Profile, raised, with_words

ALL_WORDS = [*WORDS["cipher"], "oaep-sha1", "oaep-sha256", "oaep-sha512", "des3-cbc", "cek-hkdf-sha256", "nonsense"]


def test_the_named_profiles() -> None:
    assert sorted(PROFILES) == ["authenticated", "default", "edi-energy", "post-quantum"]
    default, energy = PROFILES["default"], PROFILES["edi-energy"]
    assert (default.cipher, default.rsa_signature, default.key_transport) == ("aes256-cbc", "pkcs1", "by-certificate")
    assert (energy.cipher, energy.rsa_signature, energy.key_transport) == ("aes128-gcm", "pss", "oaep")
    assert [name for name, profile in PROFILES.items() if profile.post_quantum] == ["post-quantum"]
    assert [name for name, profile in PROFILES.items() if not profile.authenticated] == ["default"]


@pytest.mark.parametrize(
    ("cipher", "told", "expected"),
    [
        ("aes256-cbc", ["aes128-cbc", "des3-cbc"], "aes256-cbc"),
        ("aes256-cbc", ["aes128-gcm"], "aes256-cbc"),  # better in one point, worse in the other
        ("aes128-cbc", ["aes128-gcm"], "aes128-gcm"),
        ("aes128-cbc", ["aes256-cbc", "aes128-gcm"], "aes128-gcm"),
        ("aes256-cbc", ["aes128-gcm", "aes256-gcm"], "aes256-gcm"),
        ("aes128-gcm", ["aes256-cbc"], "aes128-gcm"),
        ("aes256-cbc", [], "aes256-cbc"),
    ],
)
def test_the_cipher_rises(cipher: str, told: list[str], expected: str) -> None:
    assert raised(with_words(PROFILES["default"], cipher=cipher), told).cipher == expected


def test_the_key_transport_rises() -> None:
    default = PROFILES["default"]
    assert raised(default, ["oaep-sha512"]).oaep_digest == "sha512"
    assert raised(default, ["oaep-sha512", "oaep-sha256"]).oaep_digest == "sha256"
    assert raised(default, ["oaep-sha256"]).key_transport == "oaep"
    assert raised(default, ["oaep-sha1"]) == default  # no better than what was there, and read by fewer
    energy = with_words(PROFILES["edi-energy"], oaep_digest="sha512")
    assert raised(energy, ["oaep-sha256"]) == energy


@given(st.sampled_from(WORDS["cipher"]), st.sampled_from(WORDS["key_transport"]), st.lists(st.sampled_from(ALL_WORDS)))
def test_nothing_ever_sinks(cipher: str, transport: str, told: list[str]) -> None:
    profile = Profile("x", cipher=cipher, key_transport=transport)
    better = raised(profile, told)
    assert better.authenticated >= profile.authenticated
    assert int(better.cipher[3:6]) >= int(profile.cipher[3:6])
    assert better.key_transport in (profile.key_transport, "oaep")
    assert raised(better, told) == better
    same = with_words(better, cipher=cipher, key_transport=transport, oaep_digest=profile.oaep_digest)
    assert same == profile


def test_unknown_words_are_errors() -> None:
    with pytest.raises(SmimeError, match="cipher is 'rc2'"):
        with_words(PROFILES["default"], cipher="rc2")
    with pytest.raises(SmimeError, match="no ciphre"):
        with_words(PROFILES["default"], ciphre="aes128-cbc")
