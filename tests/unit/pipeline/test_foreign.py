"""Mail under others' rights management arrives: passed untouched, held or refused, as the configuration says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mta.contract.protection import Protection
from mta.model.lifecycle import HELD, QUEUED
from mta.model.message import Content
from tests.support.irm import mail, pfile, rpmsg
from tests.unit.pipeline.inbound_world import World, spooled

MESSAGE = mail(("message.rpmsg", "application/x-microsoft-rpmsg-message", rpmsg()))
LARGE = mail(("plan.pfile", "application/octet-stream", pfile() + bytes(400_000)))


def world(wish: str) -> World:
    return World(protection=Protection("vault", foreign=wish))


@pytest.mark.parametrize("spool", [False, True], ids=["memory", "spool"])
@pytest.mark.parametrize("raw", [MESSAGE, LARGE], ids=["small", "large"])
@pytest.mark.parametrize(("wish", "code", "state"), [("pass", 250, QUEUED), ("hold", 250, HELD), ("refuse", 550, None)])
async def test_what_the_configuration_says(
    wish: str, code: int, state: str | None, raw: bytes, spool: bool, tmp_path: Path
):
    ours = world(wish)
    content: bytes | Content = spooled(tmp_path, raw) if spool else raw
    reply = await ours.send(content)
    assert reply.code == code
    assert "carol" not in str(reply)
    if state is None:
        assert ours.store.taken == []
        [refused] = ours.events("mail.refused")
        assert "foreign-protection" in str(refused["reasons"])
        return
    [message] = ours.store.taken
    assert [one.state for one in message.states] == [state]
    [found] = _foreign(message.evidence)
    assert found["owner"] == "carol@fabrikam.example"
    if not spool:
        assert message.content.data == raw


def _foreign(evidence: dict[str, Any]) -> list[dict[str, str]]:
    found: list[dict[str, str]] = evidence["foreign"]
    return found


async def test_other_mail_and_a_relay_that_protects_nothing_are_left_alone():
    ours = world("refuse")
    assert (await ours.send()).code == 250
    assert "foreign" not in ours.store.taken[0].evidence
    bare = World()
    assert (await bare.send(MESSAGE)).code == 250
    assert "foreign" not in bare.store.taken[0].evidence
