"""A round of looks at all partners that a reload came between."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from mta.contract.index import ConnectorIndex
from mta.contract.server import Probing
from mta.model.seen import Memory
from mta.pipeline.site import Contract
from mta.policy.probe import Alarm
from mta.queue import probing
from mta.queue.probing import Rounds
from tests.unit.policy.world import NOW, configuration


@pytest.mark.parametrize(("reloaded", "written"), [(False, 1), (True, 0)])
async def test_what_an_old_contract_found_is_no_news(
    reloaded: bool, written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = configuration()
    known = replace(known, server=replace(known.server, probing=Probing(every=60.0, warn=1.0)))
    contract = Contract(known, ConnectorIndex(known), 1)
    log = SimpleNamespace(info=lambda *_, **__: None, error=lambda *_, **__: None)
    site: Any = SimpleNamespace(contract=contract, clock=SimpleNamespace(now=lambda: NOW), log=log)
    memories: list[Memory] = []
    store: Any = SimpleNamespace(read=lambda: Memory(0.0, {}), write=memories.append)

    async def probe_all(*_: Any) -> list[Any]:
        if reloaded:
            site.contract = replace(contract, generation=2)
        return []

    monkeypatch.setattr(probing, "probe_all", probe_all)
    monkeypatch.setattr(probing, "known_certificates", lambda _: ())
    await Rounds(site, SimpleNamespace(), store, lambda: None).look_after()  # type: ignore[arg-type]
    assert len(memories) == written


def test_the_letter_names_whom_to_ask_and_its_subject_stays_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    known = configuration()
    partner = replace(known.connectors["fabrikam"], contact="Jane Doe", note="by telephone\nonly")
    known = replace(known, connectors={**known.connectors, "fabrikam": partner})
    written: list[Any] = []
    monkeypatch.setattr(probing, "letter", lambda *words: written.append(words))
    site: Any = SimpleNamespace(contract=Contract(known, ConnectorIndex(known), 1))
    probing._letter(site, [Alarm("partner-key-changed", "fabrikam/mx.fabrikam.example:25", "another key")])
    _, _, subject, paragraphs, _ = written[0]
    assert "\n" not in subject
    assert "Jane" not in subject
    assert any("another key" in line and "contact Jane Doe" in line for line in paragraphs)
