"""The transform step: mail of ours leaves signed, the same at every attempt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mta.adapters.key_files import KeyFiles
from mta.config.contract import Connector, DkimKey
from mta.model.attempt import Failure, Scope
from mta.model.auth import AuthResult
from mta.model.envelope import Envelope
from mta.model.message import Content, QueuedMessage
from mta.pipeline.deliver import Job
from mta.pipeline.site import Contract
from mta.pipeline.transform import transform
from mta.policy.route import Destination
from tests.support.signatures import MESSAGE, NOW, judged, pem, rsa_key
from tests.unit.policy.world import CONTOSO, configuration, index

TRACE = b"Received: by mx.contoso.example; now\r\n"


def site(path: Path) -> Any:
    domains = (replace(CONTOSO, dkim=(DkimKey("r", str(path)),)),)
    contract = Contract(configuration(domains=domains), index(domains=domains), 1)
    return SimpleNamespace(contract=contract, keys=KeyFiles())


def job(content: Content) -> Job:
    message = QueuedMessage("1", Envelope(None), content, TRACE, NOW, "internal", ())
    return Job(message, (), Connector("world"), Destination("mx", "fabrikam.example"))


async def test_every_attempt_sends_the_same_bytes_from_memory_and_from_a_file(tmp_path: Path) -> None:
    key, body = tmp_path / "r.key", tmp_path / "spooled"
    key.write_bytes(pem(rsa_key()))
    body.write_bytes(MESSAGE)
    in_file = Content(len(MESSAGE), path=str(body), head=MESSAGE[: MESSAGE.index(b"\r\n\r\n") + 4])
    prefixes = set()
    for content in (Content(len(MESSAGE), MESSAGE), in_file):
        for _ in range(2):  # each with keys read anew, as after a restart
            sent = await transform(site(key), job(content))
            assert isinstance(sent, Job)
            prefixes.add(sent.message.prefix)
    [prefix] = prefixes
    assert prefix.startswith(b"DKIM-Signature:")
    assert prefix.endswith(TRACE)
    assert [outcome.result for outcome in await judged(prefix + MESSAGE)] == [AuthResult.PASS]


async def test_without_its_key_mail_waits_for_us(tmp_path: Path) -> None:
    failure = await transform(site(tmp_path / "gone.key"), job(Content(len(MESSAGE), MESSAGE)))
    assert isinstance(failure, Failure)
    assert (failure.permanent, failure.local, failure.scope) == (False, True, Scope.DESTINATION)
    assert "gone.key" in failure.reason
    assert str(failure.reply).startswith("451 4.3.0")


async def test_a_foreign_author_leaves_as_it_came(tmp_path: Path) -> None:
    raw = MESSAGE.replace(b"anna@contoso", b"anna@fabrikam")
    same = job(Content(len(raw), raw))
    assert await transform(site(tmp_path / "gone.key"), same) is same
