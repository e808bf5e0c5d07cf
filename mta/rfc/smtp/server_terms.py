"""What an SMTP server announces and how much it bears of a client; octets and seconds."""

from __future__ import annotations

from dataclasses import dataclass

_LARGEST_LIMIT = 999_999  # RFC 9422 §3: a limit has six digits at most


@dataclass(frozen=True, slots=True)
class Terms:
    """The name that the greeting says, the limits of the wire, and how errors are counted.

    From `soft_errors` on each error is answered `error_delay` seconds late; `hard_errors` end the session. Commands
    that move no mail count as errors beyond `junk_commands` between two messages. `recipients` of one transaction is
    announced here and kept by whoever decides; 0: it is not announced.
    """

    hostname: str
    message_size: int = 52_428_800
    recipients: int = 0
    command_length: int = 1000
    line_length: int = 1000
    soft_errors: int = 10
    hard_errors: int = 20
    junk_commands: int = 100
    error_delay: float = 1.0
    forbid_early_talkers: bool = True

    def offers(self, *, starttls: bool, secure: bool) -> tuple[str, ...]:
        """The extensions that EHLO is told; `secure`: inside TLS, where `starttls` is not offered again."""
        return (
            "PIPELINING",
            f"SIZE {self.message_size}",
            "8BITMIME",
            "SMTPUTF8",
            "DSN",
            "CHUNKING",
            *((f"LIMITS RCPTMAX={self.recipients}",) if 0 < self.recipients <= _LARGEST_LIMIT else ()),
            *(("STARTTLS",) if starttls and not secure else ()),
            *(("REQUIRETLS",) if secure else ()),
            "ENHANCEDSTATUSCODES",
        )
