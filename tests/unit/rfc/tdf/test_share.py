"""Two shares: both are needed, each is bound to the policy, and sealing needs no private key."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from mta.errors import TdfError, TdfTampered
from mta.rfc.tdf.share import OAEP, Shares, combine, open_shares, read_two_shares, seal_shares
from tests.support.protected import KEY, POLICY, UUID_

ROOT = rsa.generate_private_key(65537, 2048)
SHARES = Shares(b"a" * 32, b"b" * 32, b"n" * 12)


def wrapped() -> bytes:
    return seal_shares(ROOT.public_key(), SHARES, KEY, UUID_, POLICY)


def opened(data: bytes, b: bytes = SHARES.b, uuid: UUID = UUID_, policy: str = POLICY) -> bytes:
    two = read_two_shares(data)
    assert two is not None
    return open_shares(two, ROOT.decrypt(two.sealed_a, OAEP), b, uuid, policy)


@pytest.mark.parametrize("bits", [2048, 3072, 4096])
def test_both_shares_open(bits: int) -> None:
    root = ROOT if bits == 2048 else rsa.generate_private_key(65537, bits)
    data = seal_shares(root.public_key(), SHARES, KEY, UUID_, POLICY)
    two = read_two_shares(data)
    assert two is not None
    assert data[0] == 1
    assert len(data) == 1 + bits // 8 + 12 + 48
    assert open_shares(two, root.decrypt(two.sealed_a, OAEP), SHARES.b, UUID_, POLICY) == KEY


def test_nothing_opens_without_share_b_or_with_another_policy() -> None:
    data = wrapped()
    assert opened(data) == KEY
    for changes in ({"b": bytes(32)}, {"b": b""}, {"uuid": uuid4()}, {"policy": POLICY[:-4] + "AAAA"}):
        with pytest.raises(TdfTampered):
            opened(data, **changes)  # type: ignore[arg-type]


def test_every_octet_outside_the_root_keys_part_is_bound() -> None:
    data = wrapped()
    for place in range(257, len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        with pytest.raises(TdfTampered):
            opened(changed)


def test_share_a_sealed_anew_to_the_root_key_does_not_fit_the_rest() -> None:
    """Somebody who knows A cannot give the file another first part: it is bound too."""
    data = wrapped()
    anew = data[:1] + ROOT.public_key().encrypt(SHARES.a, OAEP) + data[257:]
    with pytest.raises(TdfTampered):
        opened(anew)


@pytest.mark.parametrize("data", [b"", bytes(256), b"\x01" + bytes(255), b"\x02" + bytes(316), b"\x01" + bytes(317)])
def test_other_wrapped_keys_are_known_as_such(data: bytes) -> None:
    assert read_two_shares(data) is None


def test_odd_sizes_are_refused() -> None:
    with pytest.raises(TdfError):
        Shares(b"a" * 31, b"b" * 32, b"n" * 12)
    with pytest.raises(TdfError):
        seal_shares(rsa.generate_private_key(65537, 1024).public_key(), SHARES, KEY, UUID_, POLICY)
    with pytest.raises(TdfError):
        seal_shares(ROOT.public_key(), SHARES, KEY[:16], UUID_, POLICY)


def test_shares_of_several_key_servers_are_xored() -> None:
    assert combine([KEY]) == KEY
    assert combine([b"\x0f" * 32, b"\xf0" * 32]) == b"\xff" * 32
    for bad in ([], [b"short"]):
        with pytest.raises(TdfError):
            combine(bad)
