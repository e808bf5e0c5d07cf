"""S/MIME on the way out: what policy/transform.py decided for each recipient, carried out.

Certificates are looked up and large results written on the loop; the cryptography runs in a thread, where the private
key's work lets the interpreter go. Large messages are made one at a time, and of one with several envelopes one after
the other: each is in memory as a whole meanwhile. What a token must do is done in a lane of its own, so one that does
not answer holds up nobody else, nor the exit.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from mta.contract.smime import Smime
from mta.errors import MtaError, StorageError
from mta.lane import Lane
from mta.model.attempt import Failure, Scope
from mta.model.directory import DirectoryAnswer
from mta.model.evidence.smime import Protection, Reader
from mta.model.message import Content, HeaderBlock, QueuedMessage
from mta.model.reply import Reply
from mta.model.word import Word
from mta.pipeline.deliver import Job
from mta.pipeline.identity import fitting, known_identity, signing_identity
from mta.pipeline.site import Site
from mta.policy.transform import Author, Copy, Found, copy_for, envelopes, not_transformable
from mta.ports import OwnCertificate
from mta.rfc.mime.addressees import named_in_header
from mta.rfc.mime.from_ import parse_from
from mta.rfc.mime.header import scan_header
from mta.rfc.smime.compose import NotTransformable
from mta.rfc.smime.kind import kind_of
from mta.rfc.smime.proof import is_what_it_claims
from mta.rfc.smime.writer import Letter, write

LARGE = 1 << 20  # octets: above, one message at a time is made
LONGEST = 120.0  # seconds that one envelope may take: only a token that hangs takes so long
_THREADS = 4
_OPENED = 4  # large messages in clear at a time: they are in memory until they have left, since no file shall hold them

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Made:
    """The bytes for some recipients (places in the envelope), and what was done. No content: the message as it came."""

    places: tuple[int, ...]
    content: bytes | None
    detail: Protection


class SmimeLate(MtaError):
    """Cryptography that takes longer than it ever should."""


Keep = Callable[[Made], Awaitable[None]]


class Protector:
    """One a worker. `longest`: seconds that one envelope may take."""

    def __init__(self, site: Site, longest: float = LONGEST) -> None:
        self._site = site
        self._longest = longest
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="protect")
        self._token = Lane("protect-token")
        self.one_large = asyncio.Semaphore(1)
        self.opened_large = asyncio.Semaphore(_OPENED)

    async def protect(self, job: Job, places: tuple[int, ...], keep: Keep) -> Mapping[int, Failure]:
        """Sign and encrypt the message of `job` for the recipients at `places`, as its connector says.

        What is made is handed to `keep`, one envelope after the other; the answer is who gets nothing, and why.
        """
        answers = await self._look_up(job, places)
        work = _Work(self._site, job, places, answers)
        if job.message.content.size <= LARGE:
            return await self._run(work, keep)
        async with self.one_large:
            return await self._run(work, keep)

    async def in_thread(self, work: Callable[[], T]) -> T:
        """What is done in files and here, in a thread of our own. Raises SmimeLate; the thread goes on even then."""
        return await self._in_time(asyncio.get_running_loop().run_in_executor(self._threads, work))

    async def with_token(self, work: Callable[[], T]) -> T:
        """What needs a token. Raises SmimeLate."""
        return await self._in_time(asyncio.wrap_future(self._token.submit(work)))

    async def _in_time(self, step: asyncio.Future[T]) -> T:
        try:
            return await asyncio.wait_for(step, self._longest)
        except TimeoutError as error:
            raise SmimeLate(f"not done within {self._longest:g} s; does the token answer?") from error

    async def _run(self, work: _Work, keep: Keep) -> Mapping[int, Failure]:
        without = set(work.places)
        while work.left:
            try:
                made = await (self.with_token if work.needs_token else self.in_thread)(work.step)
            except SmimeLate as error:
                return dict.fromkeys(without, not_done(error)) | work.refused
            if made is not None:
                await keep(made)
                without.difference_update(made.places)
        return work.refused

    async def _look_up(self, job: Job, places: tuple[int, ...]) -> dict[int, DirectoryAnswer]:
        if job.connector.outbound.smime.encrypt == "never":
            return {}
        mailboxes = [job.message.envelope.recipients[index].mailbox for index in places]
        lookups = await asyncio.gather(*(self._site.directory.lookup(mailbox) for mailbox in mailboxes))
        return dict(zip(places, lookups, strict=True))


@dataclass(slots=True)
class _Work:
    """One message for one contract, in steps: the first decides, each further one makes one envelope.

    A step runs in a thread and changes nothing outside.
    """

    site: Site
    job: Job
    places: tuple[int, ...]
    answers: dict[int, DirectoryAnswer]
    refused: dict[int, Failure] = field(default_factory=dict)
    _copies: dict[int, Copy] = field(default_factory=dict)
    _groups: deque[tuple[int, ...]] = field(default_factory=deque)
    _letter: Letter | None = None
    _own: OwnCertificate | None = None  # who signs
    _begun: bool = False

    @property
    def left(self) -> bool:
        """Whether there is anything to do still."""
        return not self._begun or bool(self._groups)

    @property
    def needs_token(self) -> bool:
        """Whether the next step asks a token."""
        signs = bool(self._groups) and self._copies[self._groups[0][0]].sign
        return signs and self._own is not None and self._own.in_token

    def step(self) -> Made | None:
        """The next envelope; None where nobody gets one now."""
        if self._begun:
            return self._make(self._groups.popleft())
        self._begun = True
        self._decide()
        return None

    def _decide(self) -> None:
        try:
            raw = octets(self.job.message.content)
        except StorageError as error:
            self.refused.update(dict.fromkeys(self.places, _local(Word.STORAGE, error)))
            return
        block = scan_header(raw, len(raw))
        claim, own, author = self._facts(raw, block)
        for index in self.places:
            copy = copy_for(self._smime, claim, author, self._fitting(index))
            if isinstance(copy, Failure):
                self.refused[index] = copy
            else:
                self._copies[index] = copy
        self._own, identity = own, known_identity(own) if own else None
        self._letter = Letter(raw, block, self._smime, identity, self.site.clock.now(), os.urandom)
        self._groups.extend(envelopes(self._copies, self._visible(block, self._copies)))

    @property
    def _smime(self) -> Smime:
        return self.job.connector.outbound.smime

    def _facts(self, raw: bytes, block: HeaderBlock) -> tuple[Found, OwnCertificate | None, Author]:
        kind = kind_of(block, raw)
        judged = kind.protected and self._smime.already_protected == "pass"
        claim = Found(kind, judged and is_what_it_claims(raw, block, kind))
        limits = self.site.contract.configuration.server.limits
        from_ = parse_from(block, limits.header_addresses)
        own, author = signing_identity(self.site, self._smime, from_, self.job.message.inbound)
        return claim, own, author

    def _fitting(self, index: int) -> DirectoryAnswer | None:
        answer = self.answers.get(index)
        return None if answer is None else fitting(self._smime.profile, answer)

    def _visible(self, block: HeaderBlock, copies: Mapping[int, Copy]) -> list[int]:
        recipients = self.job.message.envelope.recipients
        named = named_in_header(block, (recipients[index].mailbox for index in copies))
        return [index for index in copies if recipients[index].mailbox in named]

    def _make(self, group: tuple[int, ...]) -> Made | None:
        """One group's bytes; None, and why in `refused`, where it gets none."""
        copies, letter = self._copies, self._letter
        assert letter is not None
        first = copies[group[0]]
        certificates = tuple(copy.certificate for index in group if (copy := copies[index]).certificate is not None)
        detail = _detail(self._smime, group, copies, self.job.message)
        if not first.sign and not certificates:
            return Made(group, None, detail)
        try:
            written = write(letter, first.sign, certificates)
        except MtaError as error:  # a token that does not answer, a key that will not sign
            self.refused.update(dict.fromkeys(group, not_done(error)))
            return None
        if not isinstance(written, NotTransformable):
            return Made(group, written.content, replace(detail, cipher=written.cipher, signed=written.signed))
        verdict = not_transformable(self._smime, first, written.word, written.text)
        if isinstance(verdict, Failure):
            self.refused.update(dict.fromkeys(group, verdict))
            return None
        return Made(group, None, replace(detail, note=verdict))


def fingerprint(smime: Smime) -> str:
    """What tells one contract from another: a form made under one is not sent under the other."""
    return hashlib.sha256(repr(smime).encode()).hexdigest()[:16]


def _detail(smime: Smime, group: tuple[int, ...], copies: Mapping[int, Copy], message: QueuedMessage) -> Protection:
    readers = []
    for index in group:
        candidate = copies[index].certificate
        if candidate is not None:
            address = str(message.envelope.recipients[index].mailbox)
            digest = hashlib.sha256(candidate.der).hexdigest()
            readers.append(Reader(address, digest, candidate.source, candidate.rung.word))
    notes = sorted({copies[index].note for index in group if copies[index].note})
    return Protection(fingerprint(smime), smime.profile.name, encrypted=tuple(readers), note="; ".join(notes))


def octets(content: Content) -> bytes:
    """The whole message. Raises StorageError."""
    if content.data is not None:
        return content.data
    try:
        return Path(content.path or "").read_bytes()
    except OSError as error:
        raise StorageError(f"a message cannot be read back: {error}") from error


def not_done(error: MtaError) -> Failure:
    """Why a copy waits: a token that does not answer, a key that will not do its work."""
    return _local(Word.SMIME_FAILED, error)


def _local(word: Word, error: MtaError) -> Failure:
    reply = Reply(451, "4.3.0", ("Local error",))
    return Failure(Scope.MESSAGE, word, str(error), reply, permanent=False, local=True)
