"""Files that other programs wrote, byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from mta.errors import TdfError
from mta.rfc.tdf.policy import is_bound, read_policy
from tests.support.protected import content, opened, parts

VECTORS = Path(__file__).resolve().parents[3] / "vectors" / "tdf"
CONTENT_KEYS = {
    "otdf-python": bytes.fromhex("3b1e5422d99e02435f2d3e97821b10ed008b5433248a96d60080ccb46b49c134"),
    "opentdf-cli": bytes.fromhex("7fe57e20d286358e9771946c92da0e93b391345f7ea2f912fd5bb65e8b9b7d14"),
}
READERS = {"otdf-python": (), "opentdf-cli": ("a@x.example",)}


@pytest.mark.parametrize("writer", CONTENT_KEYS)
def test_their_files_open(writer: str) -> None:
    data, key = (VECTORS / f"{writer}.tdf").read_bytes(), CONTENT_KEYS[writer]
    file = opened(data, key)
    assert b"".join(file.chunks()) == b"Written by another program.\n"
    assert (file.facts, file.policy_token) == (None, "")


@pytest.mark.parametrize("writer", CONTENT_KEYS)
def test_their_policies_are_read(writer: str) -> None:
    _, manifest = parts((VECTORS / f"{writer}.tdf").read_bytes())
    policy = manifest["encryptionInformation"]["policy"]
    assert read_policy(policy).readers == READERS[writer]
    assert not is_bound(bytes(32), policy, b"")


@pytest.mark.parametrize("writer", CONTENT_KEYS)
def test_every_octet_of_their_files_flipped(writer: str) -> None:
    """What nothing depends on may change (dates, what they say of the type); the payload never does."""
    data, key = (VECTORS / f"{writer}.tdf").read_bytes(), CONTENT_KEYS[writer]
    for place in range(len(data)):
        changed = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
        try:
            assert content(changed, key) == b"Written by another program.\n", place
        except TdfError:
            continue
