"""The SMTP reply: RFC 5321 §4.2, with the enhanced status code of RFC 3463."""

from __future__ import annotations

from mta.model.frozen import frozen


@frozen
class Reply:
    """A reply to or from a peer. `enhanced` is like `5.7.1`, or empty; `text` holds one entry a line, without codes."""

    code: int
    enhanced: str = ""
    text: tuple[str, ...] = ()

    @property
    def positive(self) -> bool:
        """2yz, or the 354 that asks for more."""
        return 200 <= self.code < 400

    @property
    def temporary(self) -> bool:
        """4yz: the same may succeed later."""
        return 400 <= self.code < 500

    @property
    def permanent(self) -> bool:
        """5yz: it will not succeed as it stands."""
        return 500 <= self.code < 600

    @property
    def status(self) -> str:
        """The enhanced code, or the class's bare one where the peer gave none (RFC 3464 §2.3.4)."""
        return self.enhanced or f"{self.code // 100}.0.0"

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code), self.enhanced, " ".join(self.text)) if part)

    def render(self) -> bytes:
        """The bytes on the wire; every line of a multi-line reply repeats the codes (RFC 2034 §4)."""
        if len(self.text) == 1 and self.enhanced:
            return f"{self.code} {self.enhanced} {self.text[0]}\r\n".encode("utf-8", "replace")
        lines = self.text or ("",)
        status = f"{self.enhanced} " if self.enhanced else ""
        last = len(lines) - 1
        return b"".join(
            f"{self.code}{' ' if i == last else '-'}{status}{line}".rstrip().encode("utf-8", "replace") + b"\r\n"
            if line or status
            else f"{self.code}{' ' if i == last else '-'}\r\n".encode()
            for i, line in enumerate(lines)
        )
