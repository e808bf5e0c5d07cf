"""An MTA-STS policy (RFC 8461), and what asking for one came to."""

from __future__ import annotations

from dataclasses import dataclass

ENFORCE, TESTING, NONE = "enforce", "testing", "none"


@dataclass(frozen=True, slots=True)
class StsPolicy:
    """A policy file. `mx` are patterns in lower case: a name, or `*.x` for one label under x; `max_age` is seconds."""

    mode: str
    mx: tuple[str, ...] = ()
    max_age: int = 86_400

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of its file."""
        return (
            "version: STSv1",
            f"mode: {self.mode}",
            *(f"mx: {name}" for name in self.mx),
            f"max_age: {self.max_age}",
        )


@dataclass(frozen=True, slots=True)
class StsAnswer:
    """The policy of a domain that is in force, if there is one, and where it is from.

    `problem` says in RFC 8460's words what went wrong on the way, `detail` in ours; a policy that was fetched before
    stays in force beside them until it expires. `id` is that of the DNS record.
    """

    policy: StsPolicy | None = None
    id: str = ""
    problem: str = ""
    detail: str = ""
    expires: float = 0.0  # epoch seconds
