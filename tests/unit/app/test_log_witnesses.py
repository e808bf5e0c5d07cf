"""What `mta check` and the numbers tell of the log's witnesses, by what the vault remembers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mta.adapters.vault_sqlite import open_vault
from mta.app.log_witnesses import LATE, witness_findings, witness_samples
from mta.contract.configuration import Configuration
from mta.model.protected import Actor, VaultEvent
from mta.observe.metrics import exposition
from mta.observe.vault_events import Operation, Result
from mta.ports.vault_log import Watch
from mta.rfc.tlog.note import KeyType, VerifierKey
from tests.unit.config.support import built

KEY = str(VerifierKey("portal.fabrikam.example/log/witness", b"k" * 32, KeyType.COSIGNATURE))
TEXT = f"""
server: {{hostname: mx.contoso.example}}
protection: {{store: "sqlite:vault", log: {{witnesses: [fabrikam]}}}}
connectors: {{fabrikam: {{witness: {{url: "https://portal.fabrikam.example/log", key: "{KEY}"}}}}}}
"""
NOW = 1_800_000_000.0
EVENT = VaultEvent(1.0, Operation.CONFIGURATION, Actor("mta", "system"), Result.DONE)


def house(folder: Path, watch: Watch | None) -> Configuration:
    """A vault with three entries, and what its witness answered last."""

    async def fill() -> None:
        store = open_vault(folder / "vault")
        await store.record(EVENT, EVENT, EVENT)
        if watch is not None:
            await store.put_watch(KEY, watch)
        await store.close()

    asyncio.run(fill())
    return built(TEXT, folder)


def found(configuration: Configuration) -> list[tuple[bool, str]]:
    assert configuration.protection
    return [(wrong, text) for wrong, _, text, _ in witness_findings(configuration.protection, NOW)]


WATCHES = [
    (Watch("fabrikam", 3, heard=NOW), []),
    (Watch("fabrikam", 1, heard=NOW, fault="connection refused"), []),  # it has a while to come back
    (
        Watch("fabrikam", 1, heard=NOW - 10 * LATE, fault="connection refused"),
        [(False, "fabrikam has countersigned 1 of the log's 3 entries: connection refused")],
    ),
    (Watch("fabrikam", 2, heard=NOW, refusal="it has seen 9"), [(True, "it has seen 9")]),
    (None, []),
]


@pytest.mark.parametrize(("watch", "told"), WATCHES, ids=["good", "just-away", "long-away", "contradicts", "new"])
def test_check_tells_of_what_a_person_must_do(tmp_path: Path, watch: Watch | None, told: list[tuple[bool, str]]):
    assert found(house(tmp_path, watch)) == told


def test_where_there_is_no_vault_yet_none_is_made(tmp_path: Path):
    configuration = built(TEXT, tmp_path)
    assert (found(configuration), witness_samples(configuration)) == ([], [])
    assert not (tmp_path / "vault").exists()


def test_the_numbers_have_lag_and_contradiction(tmp_path: Path):
    page = exposition(
        ("", one) for one in witness_samples(house(tmp_path, Watch("fabrikam", 1, heard=7.0, refusal="other")))
    )
    assert 'mta_log_witness_lag{witness="fabrikam"} 2' in page
    assert 'mta_log_witness_heard_seconds{witness="fabrikam"} 7' in page
    assert 'mta_log_witness_contradicts{witness="fabrikam"} 1' in page
