"""Who owns the spools that a piece of work writes: until the queue takes one over, the work does, and lets go of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from mta.ports import Spool


@dataclass(slots=True)
class Spools:
    """Makes spools. At the end of the block those that did not become the queue's are discarded, however it ends."""

    make: Callable[[], Spool]
    _made: list[Spool] = field(default_factory=list)

    def new(self) -> Spool:
        """Where a large message goes."""
        spool = self.make()
        self._made.append(spool)
        return spool

    async def discard(self) -> None:
        """Let go of all; no effect on one that has become the queue's."""
        while self._made:
            await self._made.pop().discard()

    async def __aenter__(self) -> Spools:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.discard()
