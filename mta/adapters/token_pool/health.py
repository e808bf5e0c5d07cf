"""What is known of a token: whether it may be asked now. Pure: the time is given."""

from __future__ import annotations

from dataclasses import dataclass

from mta.errors import KeyAway


@dataclass(slots=True)
class Health:
    """After each failure the token rests for longer: `pause` seconds, doubled up to `longest`.

    While it has not answered again one request at a time finds out whether it does; the others are told at once.
    """

    token: str
    pause: float
    longest: float
    failures: int = 0
    until: float = 0.0
    text: str = ""
    trying: bool = False
    wrong_pin: str = ""

    def admit(self, now: float) -> None:
        """Let a request through. Raises KeyAway."""
        if self.wrong_pin:
            raise KeyAway(f"{self.wrong_pin}; it is not tried again before server.pkcs11 changes and mta is restarted")
        if not self.failures:
            return
        if now < self.until:
            raise KeyAway(f"{self.text}; the next try is in {self.until - now:.1f} s")
        if self.trying:
            raise KeyAway(f"{self.text}; it is being tried just now: try again")
        self.trying = True

    def good(self) -> None:
        """It has answered."""
        self.failures, self.until, self.text, self.trying = 0, 0.0, "", False

    def bad(self, now: float, text: str) -> None:
        """It has not answered; several requests that fail together count once."""
        self.trying = False
        self.text = text
        if now >= self.until:
            self.failures += 1
            self.until = now + min(self.pause * 2 ** min(self.failures - 1, 30), self.longest)

    def unknown(self) -> None:
        """A request that was let through has not come to the token."""
        self.trying = False
