"""Root keys are proved, each one and in the log, and are looked for where the configuration has them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mta.adapters.root_keys import PlacedRootKeys
from mta.errors import KeyAway, MtaError, UsageError
from mta.model.protected import KeyState
from mta.vault.expire import SYSTEM
from mta.vault.root_keys import prove_keys, root_key_bits
from tests.support.vault import World, put_key, root_key_pair, vault_world


async def told(world: World) -> list[tuple[str, str]]:
    entries = await world.vault.store.entries(0, 100)
    stories = [json.loads(entry.story) for entry in entries]
    return [(story["kid"], story["result"]) for story in stories if story["op"] == "key.selftest"]


async def test_all_keys_are_proved_and_what_is_the_matter_is_told(tmp_path: Path) -> None:
    async with vault_world(tmp_path) as world:
        await prove_keys(world.vault, SYSTEM)
        assert await told(world) == [("r1", "done")]
        await world.add_key("r2", 2, KeyState.ARCHIVED)
        await world.add_key("r0", 3, KeyState.DESTROYED)
        (tmp_path / "r2.key").chmod(0o644)
        with pytest.raises(MtaError, match=r"r2: the root key r2: others can read .*r2\.key \(mode 0644\)"):
            await prove_keys(world.vault, SYSTEM)
        assert sorted(await told(world)) == [("r1", "done"), ("r1", "done"), ("r2", "failed")]


async def test_a_key_is_where_the_configuration_has_it(tmp_path: Path) -> None:
    async with vault_world(tmp_path) as world:
        [key] = await world.vault.store.root_keys()
        (tmp_path / "new").mkdir()
        (tmp_path / "r1.key").rename(tmp_path / "new" / "moved.key")
        other = put_key(tmp_path, "other", 2, KeyState.ACTIVE)
        wrapped = b"\1" * 256
        with pytest.raises(KeyAway):
            await PlacedRootKeys().unwrap(key, wrapped, "c")
        placed = PlacedRootKeys({"r1": str(tmp_path / "new" / "moved.key")})
        assert await placed.unwrap(key, wrapped, "c") is None
        with pytest.raises(KeyAway, match="holds another key than the one that is called r1"):
            await PlacedRootKeys({"r1": other.place}).unwrap(key, wrapped, "c")
        with pytest.raises(KeyAway, match=r"write server\.pkcs11"):
            await PlacedRootKeys({"r1": "pkcs11:token=t;object=o"}).unwrap(key, wrapped, "c")


def test_what_cannot_be_a_root_key_is_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    assert root_key_bits(root_key_pair(1)[1]) == 2048
    wrong = {
        "this one has 1024": rsa.generate_private_key(65_537, 1024),
        "and this one 3": rsa.generate_private_key(3, 2048),
        "of another kind": ec.generate_private_key(ec.SECP256R1()),
    }
    for words, key in wrong.items():
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        with pytest.raises(UsageError, match=words):
            root_key_bits(spki)
