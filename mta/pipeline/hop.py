"""Opening a next hop: connect, greet, TLS as required, authenticate; and keeping connections for the next message.

Nothing of a message is written before the requirement is satisfied. A kept connection is judged again whenever it is
taken, under the requirement of that moment (design: every MX, every retry, every fallback meets the same requirement).
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, replace

from mta.contract.outbound import Outbound
from mta.contract.values import HostPort
from mta.errors import ConnectFailed, RemoteProtocolError, TlsFailed
from mta.model.attempt import Failure, HostAttempt, Scope
from mta.model.frozen import frozen
from mta.model.reply import Reply
from mta.model.tls import TlsFacts, TlsLevel
from mta.model.word import Word
from mta.pipeline.login import log_in
from mta.pipeline.site import Site
from mta.policy.deliver import (
    TlsJudgement,
    TlsRequirement,
    judge_audit,
    judge_keyword,
    judge_offer,
    judge_tls,
    may_authenticate,
)
from mta.ports import DialTarget, SmtpConnection

CONTRACT_CHANGED = Failure(
    Scope.SESSION,
    Word.CONTRACT_CHANGED,
    "the configuration was exchanged before anything was sent",
    Reply(451, "4.3.0", ("The configuration has changed",)),
    permanent=False,
    local=True,
)
_NOT_JUDGED = TlsJudgement(None, "")
_JUDGE_AGAIN = 60.0  # seconds; then the certificate of an idle connection is judged again: it may have expired


@dataclass(frozen=True, slots=True)
class HopKey:
    """Two messages may share a connection only if all of this is equal (design: the pool's key)."""

    target: DialTarget
    requirement: TlsRequirement
    user: str

    def __hash__(self) -> int:
        """Of the place alone: that tells nearly all keys apart, and costs little for every message."""
        return hash((self.target.address, self.target.port))


@dataclass(slots=True)
class Hop:
    """A connection that satisfied its requirement, ready for a transaction."""

    key: HopKey
    connection: SmtpConnection
    judgement: TlsJudgement
    judged: float  # monotonic seconds
    audit: TlsJudgement | None = None  # by a contract in audit mode
    used: int = 0
    generation: int = 0  # of the contract it was opened under
    idle_since: float = 0.0


@frozen
class Opened:
    """Either a hop, or the failure; in both cases what was seen on the way. `dialled`: now, not kept from before."""

    hop: Hop | None
    failure: Failure | None = None
    attempt: HostAttempt | None = None
    dialled: bool = False


@frozen
class _Dialled:
    """What a dial came to; `tls` and `judgement` are evidence also where it failed."""

    hop: Hop | None = None
    failure: Failure | None = None
    tls: TlsFacts | None = None
    judgement: TlsJudgement = _NOT_JUDGED
    audit: TlsJudgement | None = None
    local_address: str = ""
    given_up: Failure | None = None


class Hops:
    """Opens hops and keeps them. `forget()` at a reload: nothing of the old contract is used again."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._idle: dict[HopKey, deque[Hop]] = {}
        self._down: dict[tuple[str, int, str], tuple[float, Failure]] = {}

    async def open(self, outbound: Outbound, requirement: TlsRequirement, host: HostPort, address: str) -> Opened:
        """A hop to `address` of `host` that satisfies `requirement`, kept or new."""
        key = _key(outbound, requirement, host, address)
        started = self._site.clock.now()
        begun = time.monotonic()
        kept = self._take(key)
        new = False
        if kept:
            connection = kept.connection
            dialled = _Dialled(kept, None, connection.tls, kept.judgement, kept.audit, connection.local_address)
        elif failure := self._backing_off(key):
            dialled = _Dialled(failure=failure)
        else:
            new = True
            dialled = await self._dial(key, outbound)
            failure = dialled.failure
            if (
                failure
                and failure is not CONTRACT_CHANGED
                and failure.scope in (Scope.SESSION, Scope.HOST)
                and not failure.permanent
            ):
                self._back_off(key, failure)
        return Opened(dialled.hop, dialled.failure, _attempt(key, started, begun, dialled), new)

    def keep(self, hop: Hop) -> None:
        """Give a hop back after a transaction; it is closed if it cannot serve again."""
        limits = self._site.contract.configuration.server.limits
        most = hop.connection.capabilities.limit("MAILMAX") or limits.messages_per_connection
        worn = hop.used >= min(most, limits.messages_per_connection) or limits.idle_timeout <= 0
        if worn or not hop.connection.usable or hop.generation != self._site.contract.generation:
            hop.connection.abort()
            return
        hop.idle_since = self._site.clock.monotonic()
        self._idle.setdefault(hop.key, deque()).append(hop)

    async def close_idle(self, *, all_of_them: bool = False) -> None:
        """QUIT where nothing was sent for `idle_timeout`."""
        limit = self._site.contract.configuration.server.limits.idle_timeout
        now = self._site.clock.monotonic()
        for key, hops in list(self._idle.items()):
            while hops and (all_of_them or now - hops[0].idle_since > limit):
                await hops.popleft().connection.quit()
            if not hops:
                self._idle.pop(key, None)
        self._down = {key: entry for key, entry in self._down.items() if entry[0] > now}

    def forget(self) -> None:
        """Drop every kept connection and every bad memory: the contract has changed."""
        for hops in self._idle.values():
            for hop in hops:
                hop.connection.abort()
        self._idle.clear()
        self._down.clear()

    def forgive(self) -> None:
        """Dial again whoever could not be reached: an administrator says that it is worth it."""
        self._down.clear()

    def _take(self, key: HopKey) -> Hop | None:
        hops = self._idle.get(key)
        now = self._site.clock.monotonic()
        limit = self._site.contract.configuration.server.limits.idle_timeout
        while hops:
            hop = hops.pop()
            fresh = now - hop.idle_since <= limit and hop.connection.usable
            if fresh and self._still_satisfies(hop, now):
                return hop
            hop.connection.abort()
        return None

    def _still_satisfies(self, hop: Hop, now: float) -> bool:
        if now - hop.judged < _JUDGE_AGAIN:
            return True
        judgement = judge_tls(hop.key.requirement, hop.connection.tls, self._site.verifier, self._site.clock.now())
        hop.judgement, hop.judged = judgement, now
        return judgement.failure is None

    def _backing_off(self, key: HopKey) -> Failure | None:
        until, failure = self._down.get(_place(key), (0.0, None))
        if failure is None or until <= self._site.clock.monotonic():
            return None
        return replace(failure, story=f"{failure.story} (not dialled again yet)", permanent=False)

    def _back_off(self, key: HopKey, failure: Failure) -> None:
        wait = self._site.contract.configuration.server.limits.host_backoff
        if wait > 0:
            self._down[_place(key)] = (self._site.clock.monotonic() + wait, failure)

    async def _dial(self, key: HopKey, outbound: Outbound) -> _Dialled:
        """A new connection, in clear a second time only where the level itself permits clear.

        What the requirement was made of is judged when this is called; a reload on the way ends it.
        """
        generation = self._site.contract.generation
        dialled = await self._try(key, outbound, use_tls=key.requirement.level is not TlsLevel.NONE)
        if generation != self._site.contract.generation:
            return self._outdated(dialled)
        why = dialled.failure
        if why is not None and why.word is Word.TLS_FAILED and key.requirement.level is TlsLevel.OPPORTUNISTIC:
            dialled = replace(await self._try(key, outbound, use_tls=False), given_up=why)
        return dialled if generation == self._site.contract.generation else self._outdated(dialled)

    @staticmethod
    def _outdated(dialled: _Dialled) -> _Dialled:
        if dialled.hop is not None:
            dialled.hop.connection.abort()
        return replace(dialled, hop=None, failure=CONTRACT_CHANGED)

    async def _try(self, key: HopKey, outbound: Outbound, *, use_tls: bool) -> _Dialled:
        try:
            connection = await self._site.dialer.connect(key.target)
        except ConnectFailed as error:
            return _Dialled(failure=replace(_unreachable(Word.CONNECT, error), ours=error.ours))
        except TlsFailed as error:
            return _Dialled(failure=_tls_failed(str(error)))
        try:
            dialled = await self._secure(key, outbound, connection, use_tls=use_tls)
        except TlsFailed as error:
            connection.abort()
            dialled = _Dialled(failure=_tls_failed(f"the handshake failed: {error}"))
        except (ConnectFailed, RemoteProtocolError) as error:
            connection.abort()
            dialled = _Dialled(failure=_unreachable(Word.CONVERSATION, error), tls=connection.tls)
        return replace(dialled, local_address=connection.local_address)

    async def _secure(self, key: HopKey, outbound: Outbound, connection: SmtpConnection, *, use_tls: bool) -> _Dialled:
        """Greeting, TLS, judgement, AUTH: a hop, or the connection ends here."""
        generation = self._site.contract.generation
        failure = await self._prepare(key, connection, use_tls=use_tls)
        if failure is None and generation != self._site.contract.generation:
            failure = CONTRACT_CHANGED  # no password by a contract that is in force no more
        judgement, audit = _NOT_JUDGED, None
        if failure is None:
            verifier, now = self._site.verifier, self._site.clock.now()
            judgement = judge_tls(key.requirement, connection.tls, verifier, now)
            audit = judge_audit(key.requirement, connection.tls, verifier, now)
            failure = judgement.failure or judge_keyword(key.requirement, "REQUIRETLS" in connection.capabilities)
            may = may_authenticate(key.requirement, judgement, audit)
            failure = failure or await self._authenticate(key, outbound, connection, may=may)
        if failure is None:
            hop = Hop(key, connection, judgement, self._site.clock.monotonic(), audit, generation=generation)
            return _Dialled(hop, None, connection.tls, judgement, audit)
        await connection.quit()
        return _Dialled(None, failure, connection.tls, judgement, audit)

    async def _prepare(self, key: HopKey, connection: SmtpConnection, *, use_tls: bool) -> Failure | None:
        """Greeting and EHLO; STARTTLS and EHLO again (RFC 3207 §4.2)."""
        hostname = self._site.contract.configuration.server.hostname
        if failure := _refused_greeting(key, await connection.greet(hostname), hostname):
            return failure
        if not use_tls:
            return None
        offered = "STARTTLS" in connection.capabilities
        reply = await connection.start_tls() if offered else None
        if connection.tls is not None:
            return _refused_greeting(key, await connection.greet(hostname), hostname)
        return judge_offer(key.requirement, offered, reply)

    async def _authenticate(
        self, key: HopKey, outbound: Outbound, connection: SmtpConnection, *, may: bool
    ) -> Failure | None:
        if outbound.auth is None:
            return None
        if not may:
            story, reply = (
                "a password is sent to a verified peer only",
                Reply(450, "4.7.0", ("Authentication not possible",)),
            )
            return Failure(Scope.HOST, Word.AUTH_UNPROTECTED, story, reply, permanent=False)
        return await log_in(self._site, outbound.auth, connection)


def _key(outbound: Outbound, requirement: TlsRequirement, host: HostPort, address: str) -> HopKey:
    pair = outbound.client_certificate
    target = DialTarget(
        host=host.host,
        port=host.port,
        address=address,
        sni=requirement.sni,
        min_version=requirement.min_version,
        certificate_chain=pair.chain if pair else "",
        certificate_key=pair.key if pair else "",
        certificate_pem=pair.pem if pair else None,
    )
    return HopKey(target, requirement, outbound.auth.user if outbound.auth else "")


def _place(key: HopKey) -> tuple[str, int, str]:
    return (key.target.address, key.target.port, key.requirement.word)


def _attempt(key: HopKey, started: float, begun: float, dialled: _Dialled) -> HostAttempt:
    return HostAttempt(
        host=key.target.host,
        port=key.target.port,
        address=key.target.address,
        started=started,
        seconds=time.monotonic() - begun,
        tls=dialled.tls,
        requirement=key.requirement.word,
        verdict=dialled.judgement.verdict,
        revocation=dialled.judgement.revocation,
        failure=dialled.failure,
        reused=bool(dialled.hop and dialled.hop.used),
        local_address=dialled.local_address,
        tls_given_up=dialled.given_up,
        would=dialled.audit.failure.reason if dialled.audit and dialled.audit.failure else "",
    )


def _refused_greeting(key: HopKey, reply: Reply, hostname: str) -> Failure | None:
    if not reply.positive:
        # RFC 5321 §3.1: a 554 greeting is that host's word, not the recipient's: another host may take the mail.
        story = f"{key.target.host} refused the conversation: {reply}"
        return Failure(Scope.HOST, Word.GREETING, story, reply, permanent=reply.permanent)
    name = reply.text[0].split(" ")[0].lower() if reply.text and reply.text[0] else ""
    if name == hostname.lower():
        text = f"{key.target.host} calls itself {hostname}: the mail would come back to us"
        return Failure(Scope.HOST, Word.LOOP, text, Reply(554, "5.4.6", ("Routing loop detected",)), permanent=True)
    return None


def _unreachable(word: Word, error: Exception) -> Failure:
    return Failure(Scope.SESSION, word, str(error), Reply(450, "4.4.1", ("No answer from host",)), permanent=False)


def _tls_failed(story: str) -> Failure:
    return Failure(Scope.HOST, Word.TLS_FAILED, story, Reply(450, "4.7.5", ("TLS handshake failed",)), permanent=False)
