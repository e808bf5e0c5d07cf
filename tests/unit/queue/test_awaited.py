"""Mail held for want of a certificate: released when an attempt would do better, and not every few seconds for ever."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mta.contract.connectors import Connector
from mta.contract.outbound import Outbound
from mta.contract.smime import Smime
from mta.model.address import Mailbox
from mta.model.directory import Candidate, DirectoryAnswer, DirectoryStatus, TrustRung
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.pipeline.site import Contract
from mta.ports import QueueCounts, QueueFilter, Settlement
from mta.queue.awaited import release_awaited
from mta.rfc.smime.profile import PROFILES
from tests.support.smime import NOW, person
from tests.unit.policy.world import configuration, index, mailbox

HOLDS = Smime(encrypt="required", without_certificate="hold")


class Store:
    """One held message; what was settled."""

    def __init__(self, connector: str, word: str = "smime-no-certificate") -> None:
        state = RecipientState(0, connector, "held", word=word, reason="none: whatever is told")
        to = Envelope(None, (Recipient(mailbox("bob@fabrikam.example")),))
        self.message = QueuedMessage("m1", to, Content(0), b"", NOW, "internal", (state,))
        self.settled: list[Settlement] = []

    async def counts(self) -> QueueCounts:
        return QueueCounts({"held": 1}, 0)

    async def search(self, which: QueueFilter) -> list[QueuedMessage]:
        assert which.state == "held"
        return [self.message]

    async def settle(self, settlement: Settlement) -> None:
        self.settled.append(settlement)


async def released(store: Store, smime: Smime, kind: str = "") -> bool:
    partner = Connector("fabrikam", domains=("fabrikam.example",), outbound=Outbound(smime=smime))

    async def lookup(of: Mailbox) -> DirectoryAnswer:
        if not kind:
            return DirectoryAnswer(DirectoryStatus.NONE)
        chosen = Candidate(person(kind).der, "folder", TrustRung.MANUAL, of.key)
        return DirectoryAnswer(DirectoryStatus.FOUND, chosen, TrustRung.MANUAL)

    log = SimpleNamespace(info=lambda *_, **__: None)
    site: Any = SimpleNamespace(
        contract=Contract(configuration(partner), index(partner), 1),
        directory=SimpleNamespace(lookup=lookup),
        clock=SimpleNamespace(now=lambda: NOW),
        log=log,
    )
    found = await release_awaited(site, [SimpleNamespace(store=store)])  # type: ignore[list-item]
    assert found is bool(store.settled)
    return found


@pytest.mark.parametrize("connector", ["fabrikam", "default"])
async def test_mail_goes_by_the_contract_of_today(connector: str) -> None:
    """It was taken when nobody claimed its domain: that `default` holds nothing does not let it go, again and again."""
    assert not await released(Store(connector), HOLDS)
    assert await released(Store(connector), HOLDS, "p256")


async def test_a_certificate_that_cannot_be_written_to_is_none() -> None:
    assert not await released(Store("fabrikam"), HOLDS, "rsa-1024")
    assert PROFILES["default"].minimum_rsa_bits > 1024


async def test_what_is_no_longer_held_by_the_contract_is_tried() -> None:
    assert await released(Store("fabrikam"), Smime(encrypt="required", without_certificate="reject"))
    assert await released(Store("fabrikam"), Smime())


async def test_what_an_administrator_or_a_vanished_connector_holds_stays() -> None:
    assert not await released(Store("fabrikam", "held by the administrator"), HOLDS, "p256")
    assert not await released(Store("gone"), HOLDS, "p256")
