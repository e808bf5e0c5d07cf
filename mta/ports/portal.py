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


@dataclass(frozen=True, slots=True)
class Passkey:
    """A passkey as its reader's browser has made it; `count` is how often it says it was used."""

    id: bytes
    public: bytes
    count: int


class Passkeys(Protocol):
    """WebAuthn for one portal. Challenges are random octets that are used once."""

    def ask_new(self, reader: str, known: tuple[bytes, ...], challenge: bytes) -> str:
        """What a browser needs to make one, as JSON."""
        ...

    def new(self, answer: bytes, challenge: bytes) -> Passkey:
        """The one that was made. Raises NotOpened."""
        ...

    def ask(self, known: tuple[bytes, ...], challenge: bytes) -> str:
        """What a browser needs to use one of these, as JSON."""
        ...

    def named(self, answer: bytes) -> bytes:
        """Which one an answer says it is of. Raises NotOpened."""
        ...

    def used(self, answer: bytes, challenge: bytes, key: Passkey) -> int:
        """Its new count. Raises NotOpened unless it has signed."""
        ...


class SmsSender(Protocol):
    """Carries short texts to telephones."""

    async def send(self, number: str, text: str) -> None:
        """One text; the gateway has taken it when this returns. Raises MtaError."""
        ...


class Courier(Protocol):
    """Hands mail of the portal to the relay. When a coroutine returns, the relay answers for the message."""

    async def send_code(self, to: str, message: bytes) -> None:
        """A code: null sender, nobody is told of its failure. Raises MtaError."""
        ...

    async def send_answer(self, answer: Answer) -> None:
        """An answer, through everything that mail coming in goes through. Raises MtaError; NotOpened if refused."""
        ...
