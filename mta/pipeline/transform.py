"""The transform step: what becomes of a message between the queue and the next hop, one thing after the other.

Whatever changes the content comes before the signatures, which are over what leaves; nothing comes after them. What
S/MIME has made is kept with the queue if it has to be sent again (ports: `NewForm`): its bytes cannot be made twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from mta.contract.connectors import Connector
from mta.errors import MtaError, StorageError
from mta.model.attempt import DeliveryResult, Failure, HostAttempt, RecipientResult, Scope
from mta.model.evidence.smime import Protection
from mta.model.message import Content, Form, NewForm, RecipientState
from mta.model.reply import Reply
from mta.model.word import Word
from mta.pipeline import portal
from mta.pipeline.deliver import Job
from mta.pipeline.protect import LARGE, Made, Protector, fingerprint, not_done
from mta.pipeline.sign import sign
from mta.pipeline.site import Site
from mta.pipeline.smime import holds_large, read_for_us
from mta.pipeline.survive import broken_on_leaving
from mta.policy.deliver import unusable
from mta.ports import Spool


@dataclass(frozen=True, slots=True)
class Part:
    """What leaves as one: the job of its recipients, and the form that was made for it just now, if one was.

    `detail` is what S/MIME did, now or at an earlier attempt.
    """

    job: Job
    form: NewForm | None = None
    spool: Spool | None = None
    detail: Mapping[str, object] | None = None

    @property
    def places(self) -> tuple[int, ...]:
        """Its recipients' places in the envelope."""
        return tuple(state.index for state in self.job.recipients)


@dataclass(frozen=True, slots=True)
class Leaving:
    """What leaves, and the recipients whose copies do not, with the reason."""

    parts: tuple[Part, ...]
    refused: tuple[RecipientResult, ...] = ()
    release: Callable[[], None] | None = None  # gives room to the next large message in clear
    served: DeliveryResult | None = None  # of recipients that went to the portal: to be settled before anything leaves

    def together(self, results: Sequence[DeliveryResult]) -> DeliveryResult:
        """One result of what came of each part, in their order."""
        broken = tuple(dict.fromkeys(signature for part in self.parts for signature in part.job.broken))
        if len(results) == 1 and not self.refused and self.parts[0].detail is None:
            return replace(results[0], broken=broken) if broken else results[0]
        hosts: list[HostAttempt] = []
        recipients: list[RecipientResult] = list(self.refused)
        for result in results:
            said = [replace(each, host=_moved(each.host, len(hosts), result)) for each in result.recipients]
            recipients += said
            hosts += result.hosts
        return DeliveryResult(
            tuple(hosts),
            tuple(recipients),
            broken,
            tuple(part.form for part in self.parts if part.form is not None),
            tuple((part.places, part.detail) for part in self.parts if part.detail is not None),
        )

    def with_(self, more: Leaving, connector: Connector) -> Leaving:
        """Both, what leaves going by `connector`."""
        parts = tuple(replace(part, job=replace(part.job, connector=connector)) for part in more.parts)
        releases = [each.release for each in (self, more) if each.release is not None]

        def release() -> None:
            for release in releases:
                release()

        refused = (*self.refused, *more.refused)
        return Leaving((*self.parts, *parts), refused, release if releases else None)

    async def forget(self) -> None:
        """Let go of large forms that the queue has not taken over, and of what is in memory. To be called once."""
        if self.release is not None:
            self.release()
        for part in self.parts:
            if part.spool is not None:
                await part.spool.discard()


def _moved(host: int | None, before: int, result: DeliveryResult) -> int | None:
    """The place of a host among all, `before` being those of earlier parts."""
    if host is None or not result.hosts:
        return None
    return before + (host if host >= 0 else len(result.hosts) + host)


async def transform(site: Site, protector: Protector, job: Job, new_spool: Callable[[], Spool]) -> Leaving:
    """The job as it leaves: whole, or in the parts whose bytes differ. Large ones go to a `new_spool`."""
    if failure := unusable(job.connector.outbound):
        return _nothing(job, failure)
    if portal.may_concern(site, job.connector, job.message):
        return await _protected(site, protector, job, new_spool)
    if portal.is_notice(job.message):
        return await _signed(site, job, (Part(job),))
    return await _as_ever(site, protector, job, new_spool)


async def _protected(site: Site, protector: Protector, job: Job, new_spool: Callable[[], Spool]) -> Leaving:
    """Of mail that may be for the portal: what goes there is there when this returns, and leaves by no other way."""
    try:
        plan = await _planned(site, job)
    except StorageError as error:
        return _nothing(job, _no_room(error))
    if plan is None:
        return await _as_ever(site, protector, job, new_spool)
    leaving = Leaving(())
    try:
        for asked in plan.jobs:
            leaving = leaving.with_(await _as_ever(site, protector, asked, new_spool), job.connector)
        ways, refused = portal.sorted_out(plan, leaving.refused, job)
        ways = {**plan.to_vault, **ways}
        if not ways:
            return leaving
        served = await portal.serve(site, job, plan.wish, ways)
    except BaseException:
        await leaving.forget()
        raise
    return replace(leaving, refused=(*refused, *served.refused), served=served.result)


async def _planned(site: Site, job: Job) -> portal.Plan | None:
    """What is protected of a job; a large message is read by a thread."""
    if job.message.content.size <= LARGE:
        return portal.plan(site, job)
    return await asyncio.to_thread(portal.plan, site, job)


def _nothing(job: Job, failure: Failure) -> Leaving:
    return Leaving((), tuple(RecipientResult(each.index, failure.reply, failure, None) for each in job.recipients))


async def _as_ever(site: Site, protector: Protector, job: Job, new_spool: Callable[[], Spool]) -> Leaving:
    if not job.connector.outbound.smime.protects and not any(state.form for state in job.recipients):
        return await _opened(site, protector, job)
    parts, fresh = _made_before(job)
    if fresh and not job.connector.outbound.smime.protects:
        leaving = await _signed(site, job, tuple(parts))
        opened = await _opened(site, protector, replace(job, recipients=fresh))
        return Leaving((*leaving.parts, *opened.parts), (*leaving.refused, *opened.refused), opened.release)
    making = _Making(job, new_spool, parts)
    try:
        if fresh:
            nothing = await protector.protect(job, tuple(state.index for state in fresh), making.keep)
            making.refuse(nothing)
        leaving = await _signed(site, job, tuple(making.parts))
    except BaseException:
        await making.leaving().forget()
        raise
    return Leaving(leaving.parts, (*making.refused, *leaving.refused))


@dataclass(slots=True)
class _Making:
    """The parts of a job as they are made: together not much more than LARGE in memory, the rest in the queue's files.

    A message with many blind copies is many envelopes.
    """

    job: Job
    new_spool: Callable[[], Spool]
    parts: list[Part]
    refused: list[RecipientResult] = field(default_factory=list)
    _held: int = 0

    async def keep(self, made: Made) -> None:
        """Make a part of it; its recipients get nothing if there is no room for it."""
        size = len(made.content or b"")
        in_memory = self._held + size <= LARGE
        try:
            self.parts.append(await _part(None if in_memory else self.new_spool, self.job, made))
        except StorageError as error:
            self.refuse(dict.fromkeys(made.places, _no_room(error)))
        else:
            self._held += size if in_memory else 0

    def refuse(self, failures: Mapping[int, Failure]) -> None:
        """These recipients get nothing."""
        self.refused += [
            RecipientResult(index, failure.reply, failure, host=None) for index, failure in failures.items()
        ]

    def leaving(self) -> Leaving:
        """What is there so far."""
        return Leaving(tuple(self.parts))


async def _opened(site: Site, protector: Protector, job: Job) -> Leaving:
    """What nobody protects on the way out may be protected mail for us (pipeline/smime.py)."""
    try:
        read = await read_for_us(site, job, protector)
    except MtaError as error:
        failure = _no_room(error) if isinstance(error, StorageError) else not_done(error)
        return Leaving((), tuple(RecipientResult(each.index, failure.reply, failure, None) for each in job.recipients))
    release = protector.opened_large.release if holds_large(job, read) else None
    try:
        leaving = await _signed(site, job, tuple(Part(each.job, detail=each.detail) for each in read))
    except BaseException:
        if release is not None:
            release()
        raise
    return replace(leaving, release=release)


def _made_before(job: Job) -> tuple[list[Part], tuple[RecipientState, ...]]:
    """Recipients with a form of an earlier attempt under the same contract, by form; and the others."""
    wanted = fingerprint(job.connector.outbound.smime)
    forms = {form.number: form for form in job.message.forms if Protection.from_json(form.detail).contract == wanted}
    groups: dict[int, list[RecipientState]] = {}
    for state in job.recipients:
        groups.setdefault(state.form if state.form in forms else 0, []).append(state)
    fresh = tuple(groups.pop(0, ()))
    return [_again(job, forms[number], tuple(states)) for number, states in groups.items()], fresh


def _again(job: Job, form: Form, states: tuple[RecipientState, ...]) -> Part:
    message = replace(job.message, content=form.content)
    return Part(replace(job, message=message, recipients=states), detail=form.detail)


async def _part(new_spool: Callable[[], Spool] | None, job: Job, made: Made) -> Part:
    """What was made, as a job; in a file of the queue if there is a `new_spool`."""
    states = tuple(state for state in job.recipients if state.index in made.places)
    own = replace(job, recipients=states)
    if made.content is None:
        return Part(own, detail=made.detail.to_json())
    spool: Spool | None = None
    content = Content(len(made.content), data=made.content)
    if new_spool is not None:
        spool = new_spool()
        try:
            await spool.write(made.content)
        except BaseException:
            await spool.discard()
            raise
        content = spool.content(made.content[: made.content.find(b"\r\n\r\n") + 4])
    message = replace(job.message, content=content)
    form = NewForm(made.places, content, made.detail.to_json())
    return Part(replace(own, message=message), form, spool, form.detail)


async def _signed(site: Site, came: Job, parts: tuple[Part, ...]) -> Leaving:
    """Each part with the signatures of the last moment, and with what it lost of those that `came` with it."""
    ready: list[Part] = []
    refused: list[RecipientResult] = []
    for part in parts:
        signed = await sign(site, part.job)
        if isinstance(signed, Failure):
            refused += [RecipientResult(state.index, signed.reply, signed, host=None) for state in part.job.recipients]
            await Leaving((part,)).forget()
            continue
        changed = signed.message is not came.message
        if changed and (broken := await broken_on_leaving(came.message, signed.message)):
            signed = replace(signed, broken=tuple(map(str, broken)))
        ready.append(part if signed is part.job else replace(part, job=signed))
    return Leaving(tuple(ready), tuple(refused))


def _no_room(error: StorageError) -> Failure:
    reply = Reply(451, "4.3.0", ("Local error",))
    return Failure(Scope.MESSAGE, Word.STORAGE, str(error), reply, permanent=False, local=True)
