"""One attempt: every host of the destination in turn until all its recipients have an answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from mta.contract.connectors import Connector
from mta.contract.values import HostPort
from mta.errors import ConnectFailed, ContractChanged, RemoteProtocolError, StorageError
from mta.model.attempt import DeliveryResult, Failure, HostAttempt, RecipientResult, Scope
from mta.model.envelope import Envelope
from mta.model.frozen import frozen
from mta.model.message import QueuedMessage, RecipientState
from mta.model.reply import Reply
from mta.model.word import Word
from mta.pipeline.discover import NextHop, discover
from mta.pipeline.hop import CONTRACT_CHANGED, Hop, Hops, Opened
from mta.pipeline.report import policies_found, session_ended
from mta.pipeline.site import Site
from mta.policy.deliver import requirement, strictest
from mta.policy.discover import Findings, published, troubles, wish_of
from mta.policy.route import Destination, addresses_to_try, order_mx
from mta.policy.settle import Step, next_step, too_many_recipients
from mta.ports import DnsStatus, MxAnswer, Transaction, TransactionReplies
from mta.ports.next_hop import always

HOSTS_TRIED = 5  # of one destination in one attempt, as Postfix's smtp_mx_address_limit


@frozen
class Job:
    """Recipients of one message that share a connector and a destination: one settlement, one transaction if it fits.

    `broken` names signatures that held when the message came and that what we did to it has broken. `generation` is
    the contract's that it goes by: once another is in force, nothing more is dialled or sent. None: for as long as it
    takes, for a command that never reloads. `gate` is the store's: False where another node may have the message.
    """

    message: QueuedMessage
    recipients: tuple[RecipientState, ...]
    connector: Connector
    destination: Destination
    broken: tuple[str, ...] = ()
    generation: int | None = None
    gate: Callable[[], bool] = always

    @property
    def envelope(self) -> Envelope:
        """The envelope for this hop: of several destinations' recipients only its own."""
        whole = self.message.envelope
        if len(self.recipients) == len(whole.recipients):
            return whole
        return replace(whole, recipients=tuple(whole.recipients[state.index] for state in self.recipients))


Taken = Callable[[DeliveryResult], Awaitable[None]]


async def deliver(site: Site, hops: Hops, job: Job, taken: Taken | None = None) -> DeliveryResult:
    """Try the hosts in order. Each recipient gets the answer that decides its fate.

    Before a further host is asked, `taken` hears of the recipients that the last one has taken, to settle them: they
    are in the result no more. Where a reload came in between the failure is CONTRACT_CHANGED: to be tried anew.
    """
    found = await _look_up(site, job)
    if isinstance(found, Failure):
        return DeliveryResult((), _all(job.recipients, found), reached=None if found.permanent else False)
    attempts = list(found.unknown)
    results: dict[int, RecipientResult] = {}
    told: set[int] = set()
    spoke = False
    for number, place in enumerate(found.places):
        outcome = await _try_host(site, hops, _left(job, results), place)
        attempts.append(outcome.attempt)
        spoke |= outcome.spoke
        more = number + 1 < len(found.places) and outcome.attempt.failure is not CONTRACT_CHANGED
        for result in outcome.results:
            if result.failure is None or next_step(result.failure, more) is Step.SETTLE:
                results[result.index] = result
        if len(results) == len(job.recipients) or not more:
            break
        for index, result in results.items():  # those of the last host need no number: see RecipientResult.host
            if result.host == -1:
                results[index] = replace(result, host=len(attempts) - 1)
        if taken and (gone := [one for i, one in results.items() if one.failure is None and i not in told]):
            await taken(DeliveryResult(tuple(attempts), tuple(gone)))
            told.update(one.index for one in gone)
    order = (state.index for state in job.recipients if state.index not in told)
    return DeliveryResult(
        tuple(attempts), tuple(results[index] for index in order), reached=spoke or _unreached(attempts)
    )


def _unreached(attempts: Sequence[HostAttempt]) -> bool | None:
    """False where no host could be spoken to for now, and another message would not fare better; else None."""
    failures = [attempt.failure for attempt in attempts]
    says = all(one and not one.permanent and not one.ours and one is not CONTRACT_CHANGED for one in failures)
    return False if says else None


LEASE_PASSED = Failure(
    Scope.DESTINATION,
    Word.LEASE_PASSED,
    "no final dot was sent: this node could not renew its lease, and another one may have the message",
    Reply(451, "4.3.0", ("Local error",)),
    permanent=False,
    local=True,
    ours=True,
)


def _fallen(site: Site, job: Job) -> Failure | None:
    """Why nothing more of the job may be sent, if so."""
    if not job.gate():
        return LEASE_PASSED
    stands = job.generation is None or job.generation == site.contract.generation
    return None if stands else CONTRACT_CHANGED


def _stands(site: Site, job: Job) -> bool:
    return _fallen(site, job) is None


def _left(job: Job, results: dict[int, RecipientResult]) -> Job:
    """The job without the recipients that have an answer."""
    if not results:
        return job
    return replace(job, recipients=tuple(state for state in job.recipients if state.index not in results))


async def find_hosts(site: Site, job: Job) -> list[Place] | Failure:
    """Hosts with their addresses in the order to try them, or why there are none."""
    found = await _look_up(site, job)
    return found if isinstance(found, Failure) else found.places


@dataclass(frozen=True, slots=True)
class Place:
    """One address of a host."""

    hop: NextHop
    address: str


@frozen
class _Found:
    """Where to try, and which better or worse hosts could not be looked up just now."""

    places: list[Place]
    unknown: tuple[HostAttempt, ...] = ()


async def reach_all(site: Site, hops: Hops, job: Job, most: int) -> list[Opened] | Failure:
    """Every host that could be asked, reached as far as MAIL FROM: for those who look and send nothing."""
    found = await _look_up(site, job, most)
    if isinstance(found, Failure):
        return found
    unknown = [Opened(None, each.failure, each) for each in found.unknown]
    return unknown + [await _reach(site, hops, job, place) for place in found.places]


async def _look_up(site: Site, job: Job, most: int = HOSTS_TRIED) -> _Found | Failure:
    answer = await site.resolver.mx(job.destination.name) if job.destination.kind == "mx" else None
    hosts = _hosts(site, job, answer)
    if isinstance(hosts, Failure):
        return hosts
    places: list[Place] = []
    unknown: list[HostAttempt] = []
    for host in hosts:
        if len(places) >= most:
            break
        hop = NextHop(host, await site.resolver.addresses(host.host), answer)
        places.extend(Place(hop, address) for address in addresses_to_try(hop.answer.addresses))
        if hop.answer.status is DnsStatus.TEMPORARY:
            unknown.append(_unknown(site, job, host, hop.answer.detail))
    if places:
        return _Found(places[:most], tuple(unknown))
    if unknown and unknown[-1].failure:
        return unknown[-1].failure
    names = ", ".join(str(host) for host in hosts)
    # A configured host without an address is the administrator's to mend; an MX without one may be a slip of theirs.
    return _no_answer(Reply(450, "4.4.4", ("No address for host",)), f"no address for {names}")


def _unknown(site: Site, job: Job, host: HostPort, detail: str) -> HostAttempt:
    """A host whose address nobody can tell now: it might have taken the mail, so it counts among those asked."""
    failure = _no_answer(Reply(450, "4.4.3", ("Name server failure",)), f"{host.host}: {detail}")
    word = requirement(job.connector.outbound, job.destination, host).word
    return HostAttempt(host.host, host.port, started=site.clock.now(), requirement=word, failure=failure)


def _hosts(site: Site, job: Job, answer: MxAnswer | None) -> tuple[HostPort, ...] | Failure:
    if answer is None:
        return job.destination.hosts
    outbound = job.connector.outbound
    return order_mx(answer, job.destination.name, site.contract.own_names, site.random.shuffle, outbound.port)


@frozen
class _HostOutcome:
    attempt: HostAttempt
    results: tuple[RecipientResult, ...]
    spoke: bool = True


async def _reach(site: Site, hops: Hops, job: Job, place: Place, *, again: bool = False) -> Opened:
    """The way to one host, as far as MAIL FROM; what was found, required and seen is in its attempt."""
    outbound, host = job.connector.outbound, place.hop.host
    found = await discover(site, outbound, job.destination, place.hop)
    if fallen := _fallen(site, job):
        return Opened(None, fallen, _not_asked(site, job, place, fallen, found))
    needed = strictest(outbound, job.destination, host, found, wish_of(job.envelope))
    refused = needed if isinstance(needed, Failure) else None
    if not again:
        policies_found(site, job.message, troubles(job.destination, host, found, refused))
    if isinstance(needed, Failure):
        return Opened(None, needed, _not_asked(site, job, place, needed, found))
    opened = await hops.open(outbound, needed, host, place.address)
    assert opened.attempt is not None
    if told := published(found):
        opened = replace(opened, attempt=replace(opened.attempt, published=told))
    if opened.dialled and opened.attempt and opened.failure is not CONTRACT_CHANGED:
        session_ended(site, job, needed, opened.attempt, found.sts)
    return opened


async def _try_host(site: Site, hops: Hops, job: Job, place: Place) -> _HostOutcome:
    """All recipients by one host, in as many transactions as it wants (RFC 9422: RCPTMAX)."""
    outcome = await _try_some(site, hops, job, place)
    failure = outcome.attempt.failure
    while len(outcome.results) < len(job.recipients):
        left = _left(job, {one.index: one for one in outcome.results})
        if failure:
            return replace(outcome, results=outcome.results + _all(left.recipients, failure))
        more = await _try_some(site, hops, left, place, again=True)
        failure = more.attempt.failure
        outcome = replace(outcome if failure else more, results=outcome.results + more.results)
    return outcome


async def _try_some(site: Site, hops: Hops, job: Job, place: Place, *, again: bool = False) -> _HostOutcome:
    """One transaction with the recipients that fit, or all of them where the host cannot be reached."""
    opened = await _reach(site, hops, job, place, again=again)
    while True:
        attempt = opened.attempt
        assert attempt is not None
        if opened.hop is None:
            assert opened.failure is not None
            return _HostOutcome(attempt, _all(job.recipients, opened.failure), spoke=False)
        hop = opened.hop
        most = hop.connection.capabilities.limit("RCPTMAX") or len(job.recipients)
        some = job if most >= len(job.recipients) else replace(job, recipients=job.recipients[:most])
        outcome = await _transact(site, hop, some, attempt)
        hops.keep(hop)
        failure = outcome.attempt.failure
        if attempt.reused and failure is not None and failure.word is Word.STALE_CONNECTION:
            # The kept connection had died while idle: nothing was said yet, a new one is no retry.
            opened = await _reach(site, hops, job, place, again=True)
            continue
        return outcome


def _not_asked(site: Site, job: Job, place: Place, failure: Failure, found: Findings) -> HostAttempt:
    """A host that is not even dialled: what is published about it, or the message, forbids it."""
    host = place.hop.host
    word = requirement(job.connector.outbound, job.destination, host).word
    return HostAttempt(
        host=host.host,
        port=host.port,
        address=place.address,
        started=site.clock.now(),
        requirement=word,
        failure=failure,
        published=published(found),
    )


async def _transact(site: Site, hop: Hop, job: Job, attempt: HostAttempt) -> _HostOutcome:
    reused, hop.used = hop.used > 0, hop.used + 1
    stands = partial(_stands, site, job)
    try:
        replies = await hop.connection.transact(
            Transaction(job.envelope, job.message.prefix, job.message.content, stands)
        )
    except ContractChanged:
        fallen = _fallen(site, job) or CONTRACT_CHANGED
        return _HostOutcome(replace(attempt, failure=fallen), _all(job.recipients, fallen))
    except StorageError as error:
        hop.connection.abort()
        reply = Reply(451, "4.3.0", ("Local error",))
        failure = Failure(Scope.MESSAGE, Word.STORAGE, str(error), reply, permanent=False, local=True)
        return _HostOutcome(replace(attempt, failure=failure), _all(job.recipients, failure))
    except (ConnectFailed, RemoteProtocolError) as error:
        hop.connection.abort()
        stale = reused and getattr(error, "phase", "") == "mail"
        word = Word.STALE_CONNECTION if stale else Word.CONVERSATION
        story = f"{attempt.host}[{attempt.address}]:{attempt.port}: {error}"
        failure = Failure(Scope.SESSION, word, story, Reply(450, "4.4.2", ("Connection broken",)), permanent=False)
        return _HostOutcome(replace(attempt, failure=failure), _all(job.recipients, failure))
    if reused and replies.mail.code == 421:  # RFC 5321 §3.8: its farewell to the idle connection met our MAIL
        story = f"{attempt.host} said {replies.mail}"
        failure = Failure(Scope.SESSION, Word.STALE_CONNECTION, story, replies.mail, permanent=False)
        return _HostOutcome(replace(attempt, failure=failure), _all(job.recipients, failure))
    return _HostOutcome(attempt, _judge_replies(job, attempt, replies, "DSN" in hop.connection.capabilities))


def _judge_replies(
    job: Job, attempt: HostAttempt, replies: TransactionReplies, dsn: bool
) -> tuple[RecipientResult, ...]:
    where = f"{attempt.host}[{attempt.address}]:{attempt.port}"
    if replies.unsaid:
        story = str(replies.mail)
        failure = Failure(Scope.MESSAGE, Word.CANNOT_CARRY, story, replies.mail, permanent=True, local=True)
        return _all(job.recipients, failure)
    if not replies.mail.positive:
        failure = _said(where, "MAIL FROM", replies.mail, Scope.MESSAGE)
        return tuple(RecipientResult(state.index, replies.mail, failure) for state in job.recipients)
    results = []
    taken = False
    for state, reply in zip(job.recipients, replies.recipients, strict=True):
        taken |= reply.positive
        if not reply.positive:
            failure = _said(where, "RCPT TO", reply, Scope.RECIPIENT)
            if too_many_recipients(reply, taken):
                failure = replace(failure, permanent=False)
            results.append(RecipientResult(state.index, reply, failure))
        elif replies.data is None or not replies.data.positive:
            data = replies.data or Reply(450, "4.4.2", ("No reply to the message",))
            results.append(RecipientResult(state.index, data, _said(where, "DATA", data, Scope.MESSAGE)))
        else:
            results.append(RecipientResult(state.index, replies.data, dsn_passed=dsn))
    return tuple(results)


def _said(where: str, command: str, reply: Reply, scope: Scope) -> Failure:
    if reply.code == 421:  # RFC 5321 §3.8: the host is closing, whatever it was asked
        scope = Scope.HOST
    return Failure(scope, Word.REFUSED, f"{where} said {reply} to {command}", reply, permanent=reply.permanent)


def _all(states: tuple[RecipientState, ...], failure: Failure) -> tuple[RecipientResult, ...]:
    return tuple(RecipientResult(state.index, failure.reply, failure) for state in states)


def _no_answer(reply: Reply, story: str) -> Failure:
    return Failure(Scope.DESTINATION, Word.DNS, story, reply, permanent=False)
