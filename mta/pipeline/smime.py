"""S/MIME on the way in: what comes for our domains is verified, and decrypted where we hold the key.

It is done when the mail leaves for the recipient, not when it arrives: of two recipients each gets what their own key
opens and no more, the queue holds no plaintext, and a slow look-up costs no client its patience. What cannot be read
goes on as it came. Forged verdicts were taken out on arrival (pipeline/authenticate.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from mta.contract.domains import Domain
from mta.model.author import FromField
from mta.model.directory import Harvest
from mta.model.evidence.smime import Protection
from mta.model.message import Content, HeaderBlock
from mta.model.opened import Fault, OpenedMessage
from mta.model.smime_verdict import SmimeVerdict
from mta.model.tls import PathVerdict
from mta.pipeline.author import author_of
from mta.pipeline.deliver import Job
from mta.pipeline.protect import LARGE, Protector, octets
from mta.pipeline.site import Site
from mta.policy.directory import certificates_of
from mta.policy.smime import address_key, judge_message, lacks_signer, to_judge
from mta.ports import OwnCertificate
from mta.rfc.authres.smime import FIELD, smime_fields
from mta.rfc.mime.header import scan_header, without
from mta.rfc.pkix.person import person_facts
from mta.rfc.smime.decrypt import DecryptionKey
from mta.rfc.smime.kind import Kind, kind_of
from mta.rfc.smime.message import decrypted_message, open_message
from mta.rfc.smime.travel import fit_for_smtp

_NOT_OURS_TO_READ = (Kind.PLAIN, Kind.PGP_SIGNED, Kind.PGP_ENCRYPTED, Kind.PGP_INLINE, Kind.CERTIFICATES)


@dataclass(frozen=True, slots=True)
class Read:
    """A job of recipients who get the same bytes, and what was found; None: nothing was looked for."""

    job: Job
    detail: Mapping[str, object] | None = None


async def read_for_us(site: Site, job: Job, protector: Protector) -> tuple[Read, ...]:
    """The job in parts: those whose recipients are ours bear a verdict, and the plaintext where a key opened it.

    Raises StorageError if the content cannot be read, MtaError where a token does not answer.
    """
    ours = _ours(site, job)
    if not ours:
        return (Read(job),)
    beginning = job.message.content.beginning
    block = scan_header(beginning, len(beginning))
    if kind_of(block, beginning) in _NOT_OURS_TO_READ:
        return (Read(job),)
    reading = _Reading(site, job, ours, protector)
    if job.message.content.size <= LARGE:
        return await reading.run()
    await protector.opened_large.acquire()
    try:
        async with protector.one_large:
            read = await reading.run()
    except BaseException:
        protector.opened_large.release()
        raise
    if not holds_large(job, read):
        protector.opened_large.release()
    return read


def holds_large(job: Job, read: Sequence[Read]) -> bool:
    """Whether a large message is in memory now; `Protector.opened_large` is then to be released once it has left."""
    if job.message.content.size <= LARGE:
        return False
    return any(each.job.message.content is not job.message.content for each in read)


def _ours(site: Site, job: Job) -> dict[int, Domain]:
    """The recipients, by their places in the envelope, of domains of ours that know S/MIME."""
    domains: dict[int, Domain] = {}
    for state in job.recipients:
        mailbox = job.message.envelope.recipients[state.index].mailbox
        domain = site.contract.index.our_domain(mailbox.ascii_domain)
        if domain is not None and domain.smime is not None:
            domains[state.index] = domain
    return domains


@dataclass(frozen=True, slots=True)
class _Reading:
    """One message for those of a job's recipients that are `ours`."""

    site: Site
    job: Job
    ours: Mapping[int, Domain]
    protector: Protector
    known: dict[bytes, bytes] = field(default_factory=dict)  # plaintexts: what many keys open is in memory once

    async def run(self) -> tuple[Read, ...]:
        """Open it without a key; if there is an envelope, once more for each set of keys among the recipients."""
        raw = without_verdicts(await asyncio.to_thread(octets, self.job.message.content))
        block = scan_header(raw, len(raw))
        limits = self.site.contract.configuration.server.limits
        letter = _Letter(raw, block, await author_of(block, limits.header_addresses))
        others = [state.index for state in self.job.recipients if state.index not in self.ours]
        parts = [Read(self._for(others))] if others else []
        opened = await self._completed(letter, (), await asyncio.to_thread(open_message, raw, (), letter.block))
        if not opened.encrypted:
            return (*parts, await self._part(letter, opened, list(self.ours)))
        for keys, places in await self._by_keys():
            message = await self._completed(letter, keys, await self._opened(letter, keys, opened))
            parts.append(await self._part(letter, message, places))
        return tuple(parts)

    async def _opened(self, letter: _Letter, keys: tuple[DecryptionKey, ...], message: OpenedMessage) -> OpenedMessage:
        """The message as these keys open it: those in files first, so that no token is waited for without need."""
        at_hand = tuple(each for each in keys if not getattr(each.key, "in_token", False))
        if at_hand:
            message = await self.protector.in_thread(partial(open_message, letter.raw, at_hand, letter.block))
        if len(at_hand) == len(keys) or message.fault is not Fault.LOCKED:
            return message
        return await self.protector.with_token(partial(open_message, letter.raw, keys, letter.block))

    async def _completed(
        self, letter: _Letter, keys: tuple[DecryptionKey, ...], message: OpenedMessage
    ) -> OpenedMessage:
        """The same with the author's certificates out of the directory, where one did not travel along."""
        authors = letter.author.authors
        if not lacks_signer(message) or letter.author.ambiguous or not authors:
            return message
        certificates = certificates_of(await self.site.directory.lookup(authors[0], thorough=True))
        if not certificates:
            return message
        token = any(getattr(each.key, "in_token", False) for each in keys)
        again = partial(open_message, letter.raw, keys, letter.block, known=certificates)
        return await (self.protector.with_token if token else self.protector.in_thread)(again)

    async def _by_keys(self) -> list[tuple[tuple[DecryptionKey, ...], list[int]]]:
        """The keys that are tried, each set with the recipients it is tried for."""
        groups: dict[tuple[bytes, ...], tuple[tuple[DecryptionKey, ...], list[int]]] = {}
        for index, domain in self.ours.items():
            own: tuple[OwnCertificate, ...] = ()
            if domain.smime is not None and domain.smime.decrypt:
                address = self.job.message.envelope.recipients[index].mailbox.key
                find = partial(self.site.key_ring.for_decrypting, domain.name, address)
                own = await self.protector.in_thread(find)
            keys = tuple(DecryptionKey(each.certificate, each.key) for each in own)
            groups.setdefault(tuple(each.certificate for each in own), (keys, []))[1].append(index)
        return list(groups.values())

    async def _part(self, letter: _Letter, opened: OpenedMessage, places: Sequence[int]) -> Read:
        verdict = await self._judged(letter, opened)
        plain = await asyncio.to_thread(_plain, letter, opened, verdict)
        if plain is not None:
            plain = self.known.setdefault(plain, plain)
        job = self._for(places)
        authserv_id = self.site.contract.configuration.server.authserv_id
        message = replace(job.message, prefix=smime_fields(authserv_id, verdict) + job.message.prefix)
        leaves = letter.raw if plain is None else plain
        if len(leaves) != message.content.size or plain is not None:
            message = replace(message, content=Content(len(leaves), leaves))
        detail = Protection(opened=verdict, decrypted=plain is not None).to_json()
        return Read(replace(job, message=message), detail)

    async def _judged(self, letter: _Letter, opened: OpenedMessage) -> SmimeVerdict:
        now, paths = self.site.clock.now(), dict[bytes, PathVerdict]()
        for certificate, others in to_judge(opened):
            paths[certificate] = await self.site.judge.judge(certificate, others, "sign", now)
        verdict = judge_message(opened, letter.author, paths)
        if verdict.good and not any(state.attempts for state in self.job.recipients):
            await self._learn(letter, opened, now)
        return verdict

    async def _learn(self, letter: _Letter, opened: OpenedMessage, now: float) -> None:
        """The author's certificate, which will do to answer in secret."""
        author, signed = letter.author.authors[0], opened.signatures[-1]
        for signer in signed.signers:
            der = signer.certificate
            if der is not None and author.key in map(address_key, person_facts(der).emails):
                await self.site.directory.learn(Harvest(author, der, signed.certificates, signer.capabilities, now))

    def _for(self, places: Sequence[int]) -> Job:
        return replace(self.job, recipients=tuple(state for state in self.job.recipients if state.index in places))


@dataclass(frozen=True, slots=True)
class _Letter:
    """The whole message, its header and its author."""

    raw: bytes
    block: HeaderBlock
    author: FromField


def without_verdicts(raw: bytes) -> bytes:
    """The message without X-MTA-SMIME: a relay of ours may bring it along, and one verdict is enough."""
    block = scan_header(raw, len(raw))
    verdicts = [each for each in block.fields if each.name == FIELD]
    return b"".join(without(block, verdicts)) if verdicts else raw


def _plain(letter: _Letter, opened: OpenedMessage, verdict: SmimeVerdict) -> bytes | None:
    """The message without its encryption; None if it has none, cannot be opened, or could not travel so."""
    if opened.decrypted is None:
        return None
    return fit_for_smtp(decrypted_message(letter.raw, opened, trust_author=verdict.good, block=letter.block))
