"""Mail for the portal between the queue and the next hop: what goes there leaves by no other way, and is never lost."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest

from mta.contract.connectors import Connector
from mta.contract.outbound import Outbound, Protect
from mta.contract.protection import Label, Protection, Trigger
from mta.contract.smime import Smime
from mta.errors import MtaError, StorageFull
from mta.model.envelope import Envelope, Recipient
from mta.model.lifecycle import QUEUED
from mta.model.message import NOTICE, PORTAL, Content, QueuedMessage, RecipientState
from mta.model.rights import expand
from mta.pipeline import transform as step
from mta.pipeline.deliver import Job
from mta.pipeline.protect import Protector
from mta.pipeline.settle import settle_bare
from mta.pipeline.site import Contract
from mta.pipeline.transform import Leaving, transform
from mta.policy.route import Destination
from mta.ports import Settlement
from mta.ports.mail_vault import Deposited, Post
from tests.unit.policy.world import CONTOSO, configuration, index, mailbox

BODY = b"the quokka is in the box\r\n"
HEADER = (
    b"From: alice@contoso.example\r\nTo: bob@fabrikam.example\r\nBcc: eve@fabrikam.example\r\n"
    b"Subject: [secure] plan\r\n\r\n"
)
PROTECTION = Protection(
    "vault",
    labels={
        "usual": Label("usual", rights=expand("viewer")),
        "house": Label("house", readers=("bob@fabrikam.example",)),
    },
    triggers=(Trigger("usual", subject="[secure]"),),
)


@dataclass
class Vault:
    """Remembers what was put into it."""

    fault: Exception | None = None
    posts: list[Post] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)

    async def deposit(self, post: Post, source: Callable[[], BinaryIO]) -> Deposited:
        if self.fault:
            raise self.fault
        with source() as file:
            self.contents.append(file.read())
        self.posts.append(post)
        return Deposited("item", {one.id: b"notice to " + one.address.encode() for one in post.invitations})


class Never:
    """A port that nobody may touch."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} was asked for")


def world(vault: Any, **more: Any) -> Any:
    known = replace(configuration(domains=(CONTOSO,)), protection=PROTECTION)
    inside = Connector("inside", relay=True)
    known = replace(known, connectors={**known.connectors, "inside": inside})
    ids = iter(range(100))
    return SimpleNamespace(
        contract=Contract(known, index(domains=(CONTOSO,)), 1),
        clock=SimpleNamespace(now=lambda: 1.0),
        random=random.Random(1),
        ids=SimpleNamespace(next=lambda: f"n{next(ids)}"),
        mail_vault=vault,
        **more,
    )


def job(protect: Protect, *to: str, smime: Smime | None = None, inbound: str = "inside", **message: Any) -> Job:
    recipients = tuple(Recipient(mailbox(one)) for one in to or ("bob@fabrikam.example",))
    states = tuple(RecipientState(n, "fabrikam") for n in range(len(recipients)))
    raw = HEADER + BODY
    envelope = Envelope(mailbox("alice@contoso.example"), recipients)
    made = QueuedMessage("id-1", envelope, Content(len(raw), raw), b"", 1.0, inbound, states, **message)
    outbound = Outbound(protect=protect, smime=smime or Smime())
    return Job(made, states, Connector("fabrikam", outbound=outbound), Destination("mx", "x"))


@pytest.fixture(autouse=True)
def _signs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unsigned(_: Any, job: Job) -> Job:
        return job

    async def unread(_: Any, job: Job, __: Any) -> list[Any]:
        return [SimpleNamespace(job=job, detail=None)]

    monkeypatch.setattr(step, "sign", unsigned)
    monkeypatch.setattr(step, "read_for_us", unread)
    monkeypatch.setattr(step, "holds_large", lambda *_: False)


async def leaves(site: Any, work: Job) -> Leaving:
    return await transform(site, Protector(site), work, lambda: pytest.fail("nothing is spooled"))


ALWAYS = Protect("always", "usual")


async def test_all_of_it_goes_to_the_vault_and_the_notices_are_settled_with_it():
    vault = Vault()
    leaving = await leaves(world(vault), job(ALWAYS, "bob@fabrikam.example", "eve@fabrikam.example"))
    assert (leaving.parts, leaving.refused) == ((), ())
    assert vault.contents == [
        b"From: alice@contoso.example\r\nTo: bob@fabrikam.example\r\nSubject: plan\r\n\r\n" + BODY
    ]
    [post] = vault.posts
    assert (post.readers, post.hidden) == (("bob@fabrikam.example",), ("eve@fabrikam.example",))
    assert (post.owner, post.subject, post.message_id) == ("alice@contoso.example", "plan", "id-1")
    assert post.from_field == b"From: alice@contoso.example\r\n"
    assert leaving.served is not None
    assert [one.failure for one in leaving.served.recipients] == [None, None]
    notices = leaving.served.notices
    assert [str(one.envelope.recipients[0].mailbox) for one in notices] == [
        "bob@fabrikam.example",
        "eve@fabrikam.example",
    ]
    assert {one.envelope.sender_text for one in notices} == {"alice@contoso.example"}
    assert {one.inbound for one in notices} == {NOTICE}


async def test_a_file_of_the_queue_is_read_behind_its_header(tmp_path: Path):
    vault, work = Vault(), job(ALWAYS)
    path = tmp_path / "content"
    path.write_bytes(HEADER + BODY * 1000)
    content = Content(len(HEADER) + len(BODY) * 1000, path=str(path), head=HEADER + BODY)
    await leaves(world(vault), replace(work, message=replace(work.message, content=content)))
    assert vault.contents[0].endswith(b"\r\n\r\n" + BODY * 1000)
    assert b"Bcc" not in vault.contents[0]


@pytest.mark.parametrize("fault", [StorageFull("full"), MtaError("no root key"), OSError(5, "bad")])
async def test_a_vault_that_is_away_lets_it_wait(fault: Exception):
    leaving = await leaves(world(Vault(fault)), job(ALWAYS))
    assert (leaving.parts, leaving.served and leaving.served.recipients) == ((), ())
    [refused] = leaving.refused
    assert refused.failure is not None
    assert not refused.failure.permanent


async def test_whom_the_label_leaves_out_is_held_alone():
    work = job(Protect("always", "house"), "bob@fabrikam.example", "eve@fabrikam.example")
    raw = work.message.content.beginning.replace(b"[secure] ", b"")
    work = replace(work, message=replace(work.message, content=Content(len(raw), raw)))
    leaving = await leaves(world(Vault()), work)
    assert leaving.served is not None
    assert [one.index for one in leaving.served.recipients] == [0]
    assert [(one.index, one.failure and one.failure.reason[:14]) for one in leaving.refused] == [(1, "protect-reader")]


UNTOUCHED = [
    (Protect(), "inside", {}),
    (Protect("triggers"), "fabrikam", {}),  # a stranger's mark
    (ALWAYS, NOTICE, {"evidence": {"notice": "failure"}}),
    (ALWAYS, NOTICE, {"evidence": {"notice": "portal"}}),
]


@pytest.mark.parametrize(("protect", "inbound", "more"), UNTOUCHED)
async def test_what_is_not_meant_leaves_as_it_is_and_opens_no_vault(protect: Protect, inbound: str, more: Any):
    work = job(protect, inbound=inbound, **more)
    leaving = await leaves(world(Never()), work)
    assert [part.job.message for part in leaving.parts] == [work.message]
    assert leaving.served is None


@pytest.mark.parametrize("evidence", [{"notice": "portal"}, {"portal": "code"}])
async def test_our_own_notices_and_codes_need_no_certificate(evidence: dict[str, object]):
    smime = Smime(encrypt="required", without_certificate="portal")
    work = job(Protect(label="usual"), smime=smime, inbound=NOTICE, evidence=evidence)
    leaving = await leaves(world(Never()), work)
    assert [part.job.message for part in leaving.parts] == [work.message]


async def test_an_answer_of_a_reader_is_protected_like_what_it_answers():
    vault = Vault()
    leaving = await leaves(world(vault), job(ALWAYS, inbound=PORTAL))
    assert leaving.parts == ()
    assert len(vault.posts) == 1


async def test_a_settlement_that_cannot_be_written_whole_forgets_no_notice():
    leaving = await leaves(world(Vault()), work := job(ALWAYS))
    written: list[Settlement] = []

    async def settled(settlement: Settlement) -> None:
        written.append(settlement)

    shard: Any = SimpleNamespace(store=SimpleNamespace(settle=settled))
    assert leaving.served is not None
    await settle_bare(world(Vault()), shard, work, leaving.served)
    assert [fate.state for fate in written[0].fates] == [QUEUED]
