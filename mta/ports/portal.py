"""What the portal needs of the world outside: somebody who carries its mail."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """A reader's answer as a whole message. `reader` is the proven address, `ip` where it came from."""

    reader: str
    to: tuple[str, ...]
    data: bytes = field(repr=False)
    ip: str = ""


class Courier(Protocol):
    """Hands mail of the portal to the relay. When a coroutine returns, the relay answers for the message."""

    async def send_code(self, to: str, message: bytes) -> None:
        """A code: null sender, nobody is told of its failure. Raises MtaError."""
        ...

    async def send_answer(self, answer: Answer) -> None:
        """An answer, through everything that mail coming in goes through. Raises MtaError; NotOpened if refused."""
        ...
