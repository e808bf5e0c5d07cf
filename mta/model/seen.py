"""What is remembered of a partner's host from one look to the next."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Seen:
    """One host of a connector, as it was last seen. `told`: conditions of which a person has heard.

    The certificate is the last that it showed, also where it showed none since; times are epoch seconds.
    """

    at: float = 0.0
    ok: bool = False
    reason: str = ""
    subject: str = ""
    issuer: str = ""
    names: tuple[str, ...] = ()
    sha256: str = ""
    spki_sha256: str = ""
    not_after: float = 0.0
    told: tuple[str, ...] = ()
    word: str = ""  # a Word: why mail would wait; empty where it would go


@dataclass(frozen=True, slots=True)
class Memory:
    """All that is remembered: hosts by connector and host; `at` of the last round, `told` of our own affairs."""

    at: float = 0.0
    hosts: dict[str, Seen] = field(default_factory=dict)
    told: tuple[str, ...] = ()
