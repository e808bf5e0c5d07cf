"""Whatever comes as CMS: a result or SmimeError, never another exception; and no changed octet gets by."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.errors import SmimeError
from mta.rfc.smime import algorithms as names
from mta.rfc.smime import der
from mta.rfc.smime.compressed import decompress
from mta.rfc.smime.decrypt import DecryptionKey, decrypt
from mta.rfc.smime.encrypt import enveloped_data, prepare_recipient
from mta.rfc.smime.party import party
from mta.rfc.smime.profile import PROFILES, Profile, with_words
from mta.rfc.smime.sign import prepare_signer, signed_data
from mta.rfc.smime.verify import verify_signed_data
from tests.support.smime import ENTITY, NOW, person

KINDS = ["rsa", "p256", "ed25519", "ml-dsa-44"]
SEALED: dict[str, tuple[str, Profile]] = {
    "rsa": ("rsa", PROFILES["authenticated"]),
    "oaep": ("rsa", PROFILES["edi-energy"]),
    "agreed": ("p256", PROFILES["authenticated"]),
    "x25519": ("x25519", PROFILES["authenticated"]),
    "quantum": ("ml-kem-768", PROFILES["post-quantum"]),
    "cbc": ("p256", PROFILES["default"]),
}


def steady(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@lru_cache
def signed(kind: str) -> bytes:
    profile = (
        PROFILES["post-quantum"] if kind.startswith("ml-") else with_words(PROFILES["default"], rsa_signature="pss")
    )
    return signed_data([prepare_signer(person(kind).identity, profile)], ENTITY, detached=False, signing_time=NOW)


@lru_cache
def sealed(name: str) -> bytes:
    kind, profile = SEALED[name]
    return enveloped_data([prepare_recipient(person(kind).der, profile)], ENTITY, profile, steady)


@lru_cache
def keys() -> tuple[DecryptionKey, ...]:
    return tuple(person(kind).decryption_key for kind in dict.fromkeys(kind for kind, _ in SEALED.values()))


def read(data: bytes) -> None:
    """Every reader on the same octets."""
    readers: tuple[Callable[[], object], ...] = (
        lambda: verify_signed_data(data, None),
        lambda: verify_signed_data(data, ENTITY, [person("rsa").der]),
        lambda: decrypt(data, keys()),
        lambda: decompress(data),
        lambda: party(data),
    )
    for reader in readers:
        try:
            reader()
        except SmimeError:
            continue


OIDS = [value for name, value in vars(names).items() if name.isupper() and isinstance(value, str)]
LEAVES = st.one_of(
    st.sampled_from(OIDS).map(der.oid),
    st.integers(-1, 300).map(der.integer),
    st.binary(max_size=24).map(der.octet_string),
    st.just(der.NULL),
    st.tuples(st.sampled_from([0x17, 0x18, 0x03, 0x0C, 0x80, 0x81, 0x9F]), st.binary(max_size=15)).map(
        lambda pair: der.element(pair[0], pair[1])
    ),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.tuples(
        st.sampled_from([0x30, 0x31, 0xA0, 0xA1, 0xA2, 0xA4, 0x24]), st.lists(inner, max_size=6)
    ).map(lambda pair: der.element(pair[0], *pair[1])),
    max_leaves=30,
)
SHELLS = st.sampled_from([names.SIGNED_DATA, names.ENVELOPED_DATA, names.AUTH_ENVELOPED_DATA, names.COMPRESSED_DATA])


@given(st.binary(max_size=120))
def test_any_octets_come_to_a_result(data: bytes) -> None:
    read(data)


@given(TREES)
def test_any_tree_comes_to_a_result(data: bytes) -> None:
    read(data)


@given(SHELLS, st.lists(TREES, max_size=6))
def test_any_content_of_a_known_kind_comes_to_a_result(kind: str, parts: list[bytes]) -> None:
    read(der.sequence(der.oid(kind), der.explicit(0, der.sequence(*parts))))


CHANGES = st.lists(
    st.tuples(st.integers(0, 10_000), st.sampled_from(["flip", "drop", "double", "swap"]), st.integers(0, 255)),
    min_size=1,
    max_size=3,
)


def changed(data: bytes, changes: list[tuple[int, str, int]]) -> bytes:
    """Octets flipped, dropped and doubled, wherever: mostly no BER any more."""
    octets = bytearray(data)
    for place, what, value in changes:
        place %= len(octets)
        if what == "flip":
            octets[place] ^= value or 1
        elif what == "drop":
            del octets[place : place + 1 + value % 4]
        elif what == "double":
            octets[place:place] = octets[place : place + 1 + value % 4]
        else:
            octets[place] = value
    return bytes(octets)


@given(st.sampled_from(KINDS), CHANGES)
def test_a_changed_signature_comes_to_a_result(kind: str, changes: list[tuple[int, str, int]]) -> None:
    read(changed(signed(kind), changes))


@given(st.sampled_from(list(SEALED)), CHANGES)
def test_a_changed_envelope_comes_to_a_result(name: str, changes: list[tuple[int, str, int]]) -> None:
    read(changed(sealed(name), changes))


@given(st.sampled_from(KINDS), CHANGES)
def test_a_changed_certificate_comes_to_a_result(kind: str, changes: list[tuple[int, str, int]]) -> None:
    read(changed(person(kind).der, changes))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150)
@given(place=st.integers(0, 1_000_000), bit=st.integers(0, 7))
def test_a_flipped_bit_never_verifies_as_something_else(kind: str, place: int, bit: int) -> None:
    """What is not signed (a version, say) may change unseen; content, time, capabilities and signer may not."""
    octets = bytearray(signed(kind))
    octets[place % len(octets)] ^= 1 << bit
    try:
        outcome = verify_signed_data(bytes(octets), None)
    except SmimeError:
        return
    if outcome.good:
        whole = verify_signed_data(signed(kind), None)
        assert (outcome.content, outcome.content_type, outcome.signers) == (ENTITY, "data", whole.signers)


@pytest.mark.parametrize("kind", KINDS)
def test_no_bit_of_content_attributes_or_signature_may_flip(kind: str) -> None:
    """From the signed attributes to the end, all that there is; and the content."""
    data = signed(kind)
    content, behind = data.index(ENTITY), data.index(der.oid(names.SIGNING_TIME))
    places = [*range(content, content + len(ENTITY)), *range(behind, len(data), 1 if len(data) < 3000 else 23)]
    for place in places:
        octets = bytearray(data)
        octets[place] ^= 1 << place % 8
        try:
            assert not verify_signed_data(bytes(octets), None).good, place
        except SmimeError:
            continue


@pytest.mark.parametrize("name", [name for name in SEALED if name != "cbc"])
@settings(max_examples=150)
@given(place=st.integers(0, 1_000_000), bit=st.integers(0, 7))
def test_a_flipped_bit_never_opens_as_something_else(name: str, place: int, bit: int) -> None:
    octets = bytearray(sealed(name))
    octets[place % len(octets)] ^= 1 << bit
    try:
        outcome = decrypt(bytes(octets), keys())
    except SmimeError:
        return
    assert outcome.content in (None, ENTITY)
    assert (outcome.content is None) == bool(outcome.reason)
