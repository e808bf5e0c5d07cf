"""What comes for us: judged, opened for whom it was encrypted to, and for nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mta.adapters.token import KeyName, TokenEcKey, Tokens
from mta.contract.connectors import Connector
from mta.contract.smime import OwnSmime
from mta.errors import MtaError, StorageError
from mta.model.address import Mailbox
from mta.model.directory import Candidate, DirectoryAnswer, DirectoryStatus, Harvest, TrustRung
from mta.model.envelope import Envelope, Recipient
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.model.tls import PathFault, PathVerdict
from mta.pipeline.authenticate import without_forgeries
from mta.pipeline.deliver import Job
from mta.pipeline.protect import Protector
from mta.pipeline.site import Contract
from mta.pipeline.smime import Read, read_for_us
from mta.pipeline.transform import Leaving, transform
from mta.policy.route import Destination
from mta.ports import OwnCertificate
from mta.rfc.mime.header import scan_header
from tests.support.patience import PATIENCE
from tests.support.smime import NOW, Person
from tests.support.smime_mail import HEADER, MESSAGE, anna, berta, encrypt, envelope_of, mallory, sign, sign_and_encrypt
from tests.unit.policy.world import CONTOSO, configuration, index

TRACE = b"Received: by mx.contoso.example; now\r\n"


@dataclass
class World:
    """The site: whose keys are here, who is believed, and what was learned."""

    keys: dict[str, Person] = field(default_factory=dict)
    path: PathVerdict = field(default_factory=PathVerdict)
    learned: list[Harvest] = field(default_factory=list)
    asked: list[bytes] = field(default_factory=list)
    listed: tuple[bytes, ...] = ()  # what the directory has for everybody
    sought: list[tuple[str, bool]] = field(default_factory=list)
    contract: OwnSmime | None = field(default_factory=OwnSmime)
    longest: float = 60.0
    hangs: threading.Event | None = None

    async def judge(self, certificate: bytes, others: Sequence[bytes], purpose: str, now: float) -> PathVerdict:
        assert (purpose, now) == ("sign", NOW)
        self.asked.append(certificate)
        return self.path

    async def learn(self, harvest: Harvest) -> None:
        self.learned.append(harvest)

    async def lookup(self, mailbox: Mailbox, *, thorough: bool = False) -> DirectoryAnswer:
        self.sought.append((mailbox.key, thorough))
        others = tuple((Candidate(der, "folder", TrustRung.MANUAL, mailbox.key), "why") for der in self.listed)
        return DirectoryAnswer(DirectoryStatus.NONE, others=others)

    def for_decrypting(self, domain: str, address: str) -> tuple[OwnCertificate, ...]:
        if self.hangs:
            self.hangs.wait(PATIENCE)
        who = self.keys.get(address)
        return (OwnCertificate(who.der, (), who.key, 0, 1, "here"),) if who else ()

    @property
    def site(self) -> Any:
        domains = (replace(CONTOSO, smime=self.contract),)
        contract = Contract(configuration(domains=domains), index(domains=domains), 1)
        clock = SimpleNamespace(now=lambda: NOW)
        return SimpleNamespace(contract=contract, clock=clock, judge=self, directory=self, key_ring=self)

    async def read(self, raw: bytes, *to: str, attempts: int = 0, content: Content | None = None) -> list[Read]:
        job = self.job(raw, *to, attempts=attempts, content=content)
        return list(await read_for_us(self.site, job, Protector(self.site, longest=self.longest)))

    def job(self, raw: bytes, *to: str, attempts: int = 0, content: Content | None = None) -> Job:
        recipients = tuple(Recipient(Mailbox(*address.split("@"), address.split("@")[1])) for address in to)
        states = tuple(RecipientState(place, "default", attempts=attempts) for place in range(len(to)))
        known = content or Content(len(raw), raw)
        message = QueuedMessage("1", Envelope(None, recipients), known, TRACE, NOW, "default", states)
        return Job(message, states, Connector("default"), Destination("mx", "contoso.example"))


def verdict(read: Read) -> str:
    block = scan_header(read.job.message.prefix + b"\r\n", 10_000)
    [value] = block.values(b"x-mta-smime")
    return " ".join(value.decode().split())


def places(read: Read) -> list[int]:
    return [state.index for state in read.job.recipients]


BERTA, ANNA, STRANGER = "berta@contoso.example", "anna@contoso.example", "bob@fabrikam.example"


async def test_a_signed_message_bears_its_verdict_and_stays_as_it_is() -> None:
    world, raw = World(), sign(MESSAGE, anna())
    [read] = await world.read(raw, BERTA)
    assert read.job.message.content.data == raw
    assert verdict(read) == "good; signer=anna@contoso.example"
    assert read.job.message.prefix.endswith(TRACE)
    assert b"smime=pass body.smime-identifier=anna@contoso.example" in read.job.message.prefix
    assert read.detail is not None
    assert read.detail["opened"]["result"] == "good"  # type: ignore[index]


async def test_the_certificate_of_a_good_signature_is_learned_once() -> None:
    world, raw = World(), sign(MESSAGE, anna())
    await world.read(raw, BERTA)
    await world.read(raw, BERTA, attempts=1)
    [harvest] = world.learned
    assert (str(harvest.mailbox), harvest.certificate, harvest.at) == (ANNA, anna().der, NOW)


@pytest.mark.parametrize(
    ("raw", "path", "word"),
    [
        (sign(MESSAGE, mallory()), PathVerdict(), "not-the-author"),
        (sign(MESSAGE, anna()), PathVerdict(PathFault.UNTRUSTED, "nobody knows it"), "untrusted"),
        (sign(MESSAGE, anna()).replace(b"figures", b"numbers"), PathVerdict(), "bad"),
    ],
)
async def test_of_other_signatures_nothing_is_learned(raw: bytes, path: PathVerdict, word: str) -> None:
    world = World(path=path)
    [read] = await world.read(raw, BERTA)
    assert verdict(read).startswith(word)
    assert b"smime=pass" not in read.job.message.prefix
    assert not world.learned


async def test_what_a_key_of_the_recipient_opens_is_handed_on_in_clear() -> None:
    world = World({BERTA: berta()})
    raw = sign_and_encrypt(MESSAGE, anna(), berta(), headers="confidential")
    [read] = await world.read(raw, BERTA)
    data = read.job.message.content.data
    assert data is not None
    assert b"The figures of the third quarter." in data
    assert b"\r\nSubject: the third quarter\r\n" in data
    assert verdict(read) == "good; signer=anna@contoso.example; encrypted=aes256-cbc; authenticated=yes"


async def test_each_recipient_gets_what_their_own_key_opens() -> None:
    """Anna is a recipient of the envelope, and not of the encryption; the stranger is none of ours."""
    world, raw = World({BERTA: berta(), ANNA: anna()}), encrypt(MESSAGE, berta())
    reads = {tuple(places(read)): read for read in await world.read(raw, ANNA, STRANGER, BERTA)}
    assert set(reads) == {(0,), (1,), (2,)}
    assert reads[0,].job.message.content.data == raw
    assert verdict(reads[0,]).startswith("encrypted; encrypted=aes256-cbc; authenticated=no")
    assert reads[1,].job.message.content.data == raw
    assert reads[1,].job.message.prefix == TRACE
    assert b"figures" in (reads[2,].job.message.content.data or b"")
    assert verdict(reads[2,]).startswith("unsigned; encrypted=aes256-cbc; authenticated=no")


async def test_what_many_keys_open_is_in_memory_once() -> None:
    world, raw = World({BERTA: berta(), ANNA: anna()}), encrypt(MESSAGE, berta(), anna())
    one, other = await world.read(raw, ANNA, BERTA)
    assert b"figures" in (one.job.message.content.data or b"")
    assert one.job.message.content.data is other.job.message.content.data


async def test_large_messages_in_clear_wait_for_each_other() -> None:
    """They are in memory until they have left: how many come at once must not matter."""
    world = World({BERTA: berta()})
    raw = encrypt(MESSAGE + b"all of the figures\r\n" * 60_000, berta())
    protector, job = Protector(world.site), world.job(raw, BERTA)

    async def leave() -> Leaving:
        return await transform(world.site, protector, job, lambda: None)  # type: ignore[arg-type, return-value]

    tasks = {asyncio.ensure_future(leave()) for _ in range(6)}
    for left in (2, 0):
        while sum(task.done() for task in tasks) < min(4, len(tasks)):
            await asyncio.sleep(0.01)
        ready = {task for task in tasks if task.done()}
        tasks -= ready
        assert (len(tasks), protector.opened_large.locked()) == (left, left > 0)
        for task in ready:
            assert b"figures" in (task.result().parts[0].job.message.content.data or b"")
            await task.result().forget()
    plain = world.job(MESSAGE + b"x" * 2_000_000, BERTA)
    for _ in range(5):
        await transform(world.site, protector, plain, lambda: None)  # type: ignore[arg-type, return-value]


async def test_a_token_that_hangs_is_not_waited_for_for_ever() -> None:
    world = World({BERTA: berta()}, longest=0.05, hangs=threading.Event())
    try:
        with pytest.raises(MtaError, match="does the token answer"):
            await world.read(encrypt(MESSAGE, berta()), BERTA)
    finally:
        assert world.hangs is not None
        world.hangs.set()


class _Hanging(Tokens):
    """Tokens that hang until `gate` is set, and do not answer then."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__("m", "1")
        self._gate = gate

    def use(self, *_: Any, **__: Any) -> Any:
        self._gate.wait(PATIENCE)
        raise MtaError("the token does not answer")


async def test_a_token_that_hangs_holds_up_no_key_in_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many letters for the token's key wait; one to the key in a file is read meanwhile, by the same protector."""
    gate, world = threading.Event(), World({BERTA: berta()})
    shared = anna()
    hanging = TokenEcKey(_Hanging(gate), KeyName("mta", "office", None), shared.key.public_key())

    def keys(domain: str, address: str) -> tuple[OwnCertificate, ...]:
        own = (OwnCertificate(berta().der, (), berta().key, 0, 1, "file"),) if address == BERTA else ()
        return (*own, OwnCertificate(shared.der, (), hanging, 0, 1, "token"))

    monkeypatch.setattr(world, "for_decrypting", keys)
    protector = Protector(world.site)
    stuck = [
        asyncio.ensure_future(read_for_us(world.site, world.job(encrypt(MESSAGE, shared), ANNA), protector))
        for _ in range(8)
    ]
    try:
        [read] = await asyncio.wait_for(
            read_for_us(world.site, world.job(encrypt(MESSAGE, berta()), BERTA), protector), PATIENCE
        )
        assert b"figures" in (read.job.message.content.data or b"")
        assert not any(task.done() for task in stuck)
    finally:
        gate.set()
        told = await asyncio.gather(*stuck, return_exceptions=True)
    assert all(isinstance(each, MtaError) for each in told)  # the mail waits; it is not handed on unread


async def test_a_domain_that_does_not_decrypt_hands_on_what_came() -> None:
    world, raw = World({BERTA: berta()}, contract=OwnSmime(decrypt=False)), encrypt(MESSAGE, berta())
    [read] = await world.read(raw, BERTA)
    assert read.job.message.content.data == raw
    assert verdict(read).startswith("encrypted")


async def test_where_nothing_is_to_be_judged_nothing_changes() -> None:
    signed = sign(MESSAGE, anna())
    for world, raw, to in (
        (World(), MESSAGE, BERTA),
        (World(), signed, STRANGER),
        (World(contract=None), signed, BERTA),
    ):
        [read] = await world.read(raw, to)
        assert read.job.message.prefix == TRACE
        assert read.detail is None
        assert not world.asked


async def test_plaintext_that_could_not_travel_stays_encrypted() -> None:
    part = b"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n" + b"\xff" * 2000 + b"\r\n--b--\r\n"
    world = World({BERTA: berta()})
    raw = HEADER + envelope_of(part, berta())
    [read] = await world.read(raw, BERTA)
    assert read.job.message.content.data == raw
    assert verdict(read).startswith("unsigned; encrypted")


async def test_a_spooled_message_is_read_from_its_file(tmp_path: Path) -> None:
    raw = sign(MESSAGE, anna())
    (tmp_path / "spooled").write_bytes(raw)
    head = raw[: raw.index(b"\r\n\r\n") + 4]
    [read] = await World().read(raw, BERTA, content=Content(len(raw), path=str(tmp_path / "spooled"), head=head))
    assert verdict(read).startswith("good")
    with pytest.raises(StorageError):
        await World().read(raw, BERTA, content=Content(len(raw), path=str(tmp_path / "gone"), head=head))


async def test_a_verdict_that_a_relay_of_ours_brings_along_gives_way_to_ours() -> None:
    raw = sign(MESSAGE, mallory())
    [read] = await World().read(b"X-MTA-SMIME: good\r\n" + raw, BERTA)
    assert read.job.message.content == Content(len(raw), raw)
    assert verdict(read).startswith("not-the-author")


async def test_a_verdict_that_mail_brings_along_is_taken_out() -> None:
    raw = b"X-MTA-SMIME: good\r\nFrom: a@b\r\nx-mta-smime : good\r\n\r\nx"
    content = await without_forgeries(Content(len(raw), raw), scan_header(raw, 1000), "mx", lambda: pytest.fail("room"))
    assert content.data == b"From: a@b\r\n\r\nx"


@pytest.mark.parametrize("closed", [True, False])
async def test_a_certificate_that_does_not_travel_is_looked_for_in_the_directory(closed: bool) -> None:
    """RFC 8550 §2.3: by what the signer says it is called, among those of the author."""
    made = sign_and_encrypt(MESSAGE, anna(), berta(), chain="none") if closed else sign(MESSAGE, anna(), chain="none")
    for listed, result in (((), "malformed"), ((mallory().der,), "malformed"), ((mallory().der, anna().der), "good")):
        world = World({BERTA: berta()}, listed=listed)
        [read] = await world.read(made, BERTA)
        assert read.detail["opened"]["result"] == result  # type: ignore[index]
        assert world.sought == [(ANNA, True)]
        assert [one.certificate for one in world.learned] == ([anna().der] if result == "good" else [])


async def test_nobody_is_looked_for_whose_certificate_travels() -> None:
    world = World({BERTA: berta()}, listed=(anna().der,))
    await world.read(sign(MESSAGE, anna()), BERTA)
    await world.read(sign_and_encrypt(MESSAGE, anna(), berta()), BERTA)
    await world.read(MESSAGE, BERTA)
    assert world.sought == []
