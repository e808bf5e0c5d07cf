"""Who wants something of a token asks here. Nothing waits for ever, and no more than so many wait at all."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from dataclasses import dataclass, field
from typing import Any

from mta.adapters.token_pool.health import Health
from mta.adapters.token_pool.member import Gone, Member, MemberSettings, NotBegun
from mta.adapters.token_pool.names import KeyName
from mta.adapters.token_pool.wire import Fault
from mta.errors import KeyAway, MtaError, UsageError

AHEAD = 4  # requests that a process is given at once: it need not wait for us between two
_REAPING = 2.0  # seconds that a killed process may take to end


class KeyMissing(KeyAway):
    """The token answers, and has no such key, or several."""


class TokenRefused(MtaError):
    """The token answers, and will not do this with this key."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """`processes` at most; `waiting` requests at most wait for one, and each at most `patience` seconds.

    As long may each step of a request take; a process that takes longer hangs. `pause`, `longest`: see Health.
    """

    member: MemberSettings
    processes: int = 2
    waiting: int = 64
    patience: float = 10.0
    pause: float = 0.25
    longest: float = 30.0


@dataclass(slots=True, eq=False)
class _Place:
    """A place for one process, which is started when it is first needed. `busy`: requests that it was given."""

    member: Member | None = None
    busy: int = 0
    starting: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class Wish:
    """What is wanted of a key. `public`: SHA-256 of the SPKI it must have, in hex, or empty."""

    do: str
    name: KeyName
    call: str = ""
    public: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    def frame(self, again: bool) -> dict[str, Any]:
        """The request, as it is sent."""
        name = {"token": self.name.token, "label": self.name.label}
        id = None if self.name.id is None else self.name.id.hex()
        return {"do": self.do, "call": self.call, **name, "id": id, "public": self.public, "again": again, **self.more}


class TokenPool:
    """Processes of one module. To be used by one event loop."""

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._places = [_Place() for _ in range(settings.processes)]
        self._room = asyncio.Semaphore(settings.processes * AHEAD)
        self._waiting = 0
        self._login = asyncio.Lock()  # one at a time: a wrong PIN is tried once
        self._health: dict[str, Health] = {}
        self._members: set[Member] = set()
        self._under_way: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def do(self, wish: Wish) -> Any:
        """What it comes to.

        Raises KeyAway if the token cannot be asked now or has no such key, TokenRefused if it will not do it,
        UsageError for a key that is there already or must not be used.
        """
        health = self._health_of(wish.name.token)
        health.admit(time.monotonic())
        try:
            slot = await self._place(wish)
        except BaseException:
            health.unknown()
            raise
        # A request goes on without whoever asked: its answer must not be taken for the next one's.
        task = asyncio.create_task(self._served(slot, wish, health))
        self._under_way.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _health_of(self, token: str) -> Health:
        if token not in self._health:
            self._health[token] = Health(token, self._settings.pause, self._settings.longest)
        return self._health[token]

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # who asked may have left

    async def _place(self, wish: Wish) -> _Place:
        """The one that has least to do; of those that have nothing, one whose process is there."""
        if self._room.locked():
            await self._wait(wish)
        else:
            await self._room.acquire()
        slot = min(self._places, key=lambda slot: (slot.busy, slot.member is None or slot.member.lost))
        slot.busy += 1
        return slot

    async def _wait(self, wish: Wish) -> None:
        if self._waiting >= self._settings.waiting:
            raise KeyAway(f"the token {wish.name.token} is busy: {self._waiting} requests wait already; try again")
        self._waiting += 1
        try:
            await asyncio.wait_for(self._room.acquire(), self._settings.patience)
        except TimeoutError:
            text = f"the token {wish.name.token} is busy: no process was free within {self._settings.patience:g} s"
            raise KeyAway(f"{text}; try again") from None
        finally:
            self._waiting -= 1

    async def _served(self, slot: _Place, wish: Wish, health: Health) -> Any:
        try:
            answer = await self._asked(slot, wish, health)
        except KeyAway as error:
            if not health.wrong_pin:
                health.bad(time.monotonic(), str(error))
            raise
        finally:
            health.unknown()
            slot.busy -= 1
            self._room.release()
        health.good()
        return _value(answer)

    async def _asked(self, slot: _Place, wish: Wish, health: Health) -> dict[str, Any]:
        """The answer. A process that ended before it came to this request is no reason to fail. Raises KeyAway."""
        try:
            return await self._exchanged(slot, wish, health)
        except NotBegun:
            if health.failures:
                raise KeyAway(health.text) from None
        try:
            return await self._exchanged(slot, wish, health)
        except NotBegun:
            raise KeyAway(f"the processes that reach the token {wish.name.token} end again and again") from None

    async def _exchanged(self, slot: _Place, wish: Wish, health: Health) -> dict[str, Any]:
        """The answer, asked for once more where the session was no longer good. Raises KeyAway, NotBegun."""
        for again in (False, True):
            member = await self._running(slot, wish)
            await self._log_in(member, wish, health)
            answer = await self._ask(member, wish.frame(again), wish)
            if answer.get("fault") != Fault.LOST:
                break
            member.tokens.discard(wish.name.token)
        return answer

    async def _running(self, slot: _Place, wish: Wish) -> Member:
        async with slot.starting:
            self._must_be_open()
            if slot.member is None or slot.member.lost:
                slot.member = await self._started(wish)
            return slot.member

    async def _started(self, wish: Wish) -> Member:
        self._bury()
        try:
            member = await Member.start(self._settings.member)
        except (OSError, Gone) as error:
            why = getattr(error, "strerror", "") or "it ended at once, or takes too long"
            raise KeyAway(f"no process for the token {wish.name.token} can be started: {why}") from error
        self._members.add(member)
        self._must_be_open()  # it may have been closed meanwhile
        return member

    def _must_be_open(self) -> None:
        if self._closed:
            raise KeyAway("the token process has ended: no more are started")

    async def _log_in(self, member: Member, wish: Wish, health: Health) -> None:
        token = wish.name.token
        if token in member.tokens:
            return
        try:
            await asyncio.wait_for(self._login.acquire(), self._settings.patience)
        except TimeoutError:
            raise KeyAway(f"others log in to the token {token}, and it takes long; try again") from None
        try:
            if health.wrong_pin:
                raise KeyAway(health.wrong_pin)
            if token in member.tokens:  # by another request of the same process
                return
            answer = await self._ask(member, {**wish.frame(False), "do": "login"}, wish)
        finally:
            self._login.release()
        if answer.get("fault") == Fault.PIN:
            health.wrong_pin = answer["text"]
        if "fault" in answer:
            raise KeyAway(answer["text"])
        member.tokens.add(token)

    async def _ask(self, member: Member, frame: dict[str, Any], wish: Wish) -> dict[str, Any]:
        """One answer of a process, which is ended where it does not come, or where it says that it ends."""
        patience = self._settings.patience
        try:
            answer = await member.ask(frame, patience)
        except TimeoutError:
            raise KeyAway(f"the token {wish.name.token} does not answer within {patience:g} s") from None
        except NotBegun:
            raise
        except Gone:
            raise KeyAway(f"the process that reaches the token {wish.name.token} has ended") from None
        if answer.get("fault") == Fault.AWAY:
            member.end()
            raise KeyAway(answer["text"])
        return answer

    def _bury(self) -> None:
        """Take note of processes that have ended."""
        self._members = {member for member in self._members if not member.lost or member.process.poll() is None}

    async def close(self) -> None:
        """End all processes."""
        self._closed = True
        for member in self._members:
            member.end()
        if self._under_way:
            await asyncio.gather(*self._under_way, return_exceptions=True)
        for member in self._members:
            member.end()  # one may have been started meanwhile
            with contextlib.suppress(subprocess.TimeoutExpired):
                member.process.wait(_REAPING)
        self._members.clear()


def _value(answer: dict[str, Any]) -> Any:
    fault = answer.get("fault")
    if fault is None:
        return answer["value"]
    if fault == Fault.REFUSED:
        raise TokenRefused(answer["text"])
    if fault in (Fault.EXISTS, Fault.UNFIT):
        raise UsageError(answer["text"])
    if fault == Fault.MISSING:
        raise KeyMissing(answer["text"])
    raise KeyAway(answer["text"])
