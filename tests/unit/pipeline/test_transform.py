"""Between the queue and the next hop: what is made is bounded in memory and time, and nothing of it is left behind."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from mta.contract.connectors import Connector
from mta.contract.outbound import Outbound
from mta.contract.smime import Smime
from mta.errors import MtaError
from mta.model.attempt import Failure, Scope
from mta.model.directory import Candidate, DirectoryAnswer, DirectoryStatus, TrustRung
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.model.reply import Reply
from mta.model.word import Word
from mta.pipeline import transform as step
from mta.pipeline.deliver import Job
from mta.pipeline.protect import LARGE, Made, Protector
from mta.pipeline.site import Contract
from mta.pipeline.transform import transform
from mta.policy.route import Destination
from tests.support.patience import PATIENCE
from tests.support.smime import NOW
from tests.support.smime_mail import HEADER, berta
from tests.unit.policy.world import CONTOSO, configuration, index, mailbox

TEXT = b"Content-Type: text/plain\r\n\r\n"


@dataclass
class FakeSpool:
    """What was written to a file of the queue, until it is thrown away."""

    data: bytes = b""
    size: int = 0
    discarded: bool = False

    async def write(self, data: bytes) -> None:
        self.data += data
        self.size = len(self.data)

    def content(self, head: bytes) -> Content:
        return Content(self.size, path="spooled", head=head)

    async def discard(self) -> None:
        self.discarded = True


@dataclass
class World:
    """Everybody has Berta's certificate. What was spooled is in `spools`."""

    spools: list[FakeSpool] = field(default_factory=list)
    hangs: threading.Event | None = None

    async def lookup(self, of: Any) -> DirectoryAnswer:
        chosen = Candidate(berta().der, "folder", TrustRung.MANUAL, of.key)
        return DirectoryAnswer(DirectoryStatus.FOUND, chosen, TrustRung.MANUAL)

    def for_signing(self, *_: Any, **__: Any) -> None:
        assert self.hangs is not None
        self.hangs.wait(PATIENCE)

    def spool(self) -> FakeSpool:
        self.spools.append(FakeSpool())
        return self.spools[-1]

    @property
    def site(self) -> Any:
        own = SimpleNamespace(name="contoso.example", smime=object())
        contract = Contract(configuration(domains=(CONTOSO,)), index(domains=(CONTOSO,)), 1)
        if self.hangs:
            contract = SimpleNamespace(  # type: ignore[assignment]
                configuration=contract.configuration, index=SimpleNamespace(our_domain=lambda _: own)
            )
        clock = SimpleNamespace(now=lambda: NOW)
        return SimpleNamespace(contract=contract, clock=clock, directory=self, key_ring=self)


def job(size: int, recipients: int, smime: Smime) -> Job:
    raw = HEADER + TEXT + b"x" * 70 + b"\r\n" + (b"y" * 76 + b"\r\n") * (size // 78)
    blind = tuple(Recipient(mailbox(f"blind{n}@fabrikam.example")) for n in range(recipients))
    states = tuple(RecipientState(n, "fabrikam") for n in range(recipients))
    message = QueuedMessage("1", Envelope(None, blind), Content(len(raw), raw), b"", NOW, "internal", states)
    return Job(message, states, Connector("fabrikam", outbound=Outbound(smime=smime)), Destination("mx", "x"))


@pytest.fixture(autouse=True)
def _signs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unsigned(_: Any, job: Job) -> Job:
        return job

    monkeypatch.setattr(step, "sign", unsigned)


REQUIRED = Smime(encrypt="required")


async def test_of_many_envelopes_not_much_is_in_memory_at_a_time() -> None:
    here = World()
    work = job(LARGE // 2, 4, REQUIRED)
    leaving = await transform(here.site, Protector(here.site), work, here.spool)
    assert [part.places for part in leaving.parts] == [(0,), (1,), (2,), (3,)]
    held = [len(part.job.message.content.data or b"") for part in leaving.parts]
    assert 0 < sum(held) <= LARGE
    assert len(here.spools) == 3
    assert len({spool.data for spool in here.spools}) == 3, "each is an envelope of its own"


async def test_an_envelope_is_put_away_before_the_next_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    here, story = World(), list[str]()

    async def keep(made: Made) -> None:
        story.append(f"kept {made.places}")

    from mta.pipeline import protect

    real = protect.write
    monkeypatch.setattr(protect, "write", lambda *given: (story.append("made"), real(*given))[1])
    assert not await Protector(here.site).protect(job(10, 2, REQUIRED), (0, 1), keep)
    assert story == ["made", "kept (0,)", "made", "kept (1,)"]


async def test_what_cannot_be_signed_for_dkim_leaves_no_file_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    here = World()

    async def no_key(*_: Any) -> Failure:
        return Failure(Scope.DESTINATION, Word.DKIM_KEY, "it is gone", Reply(451), permanent=False, local=True)

    monkeypatch.setattr(step, "sign", no_key)
    leaving = await transform(here.site, Protector(here.site), job(2 * LARGE, 1, REQUIRED), here.spool)
    assert leaving.parts == ()
    assert [result.index for result in leaving.refused] == [0]
    assert [spool.discarded for spool in here.spools] == [True]


async def test_a_defect_on_the_way_leaves_no_file_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    here = World()

    async def broken(*_: Any) -> Failure:
        raise RuntimeError

    monkeypatch.setattr(step, "sign", broken)
    with pytest.raises(RuntimeError):
        await transform(here.site, Protector(here.site), job(2 * LARGE, 2, REQUIRED), here.spool)
    assert [spool.discarded for spool in here.spools] == [True, True]


async def test_a_token_that_hangs_makes_the_mail_wait_with_a_reason() -> None:
    here = World(hangs=threading.Event())
    try:
        wanted = Smime(sign="always", encrypt="required")
        leaving = await transform(here.site, Protector(here.site, longest=0.05), job(10, 2, wanted), here.spool)
    finally:
        assert here.hangs is not None
        here.hangs.set()
    assert leaving.parts == ()
    assert [result.index for result in leaving.refused] == [0, 1]
    for result in leaving.refused:
        assert result.failure is not None
        assert not result.failure.permanent
        assert "does the token answer?" in result.failure.reason


async def test_a_key_that_will_not_sign_makes_the_mail_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    here = World()

    def refuses(*_: Any) -> None:
        raise MtaError("the token is gone")

    monkeypatch.setattr("mta.pipeline.protect.write", refuses)
    leaving = await transform(here.site, Protector(here.site), job(10, 1, REQUIRED), here.spool)
    assert leaving.parts == ()
    assert "the token is gone" in str(leaving.refused[0].failure)
