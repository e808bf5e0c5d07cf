"""Mail and files that others' rights management protects."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Foreign:
    """One protected part of a message. What its licence says in clear is a claim; empty: it says nothing.

    `kind` is `rpmsg` (a whole message), `pfile` (any file) or `office` (a document under IRM).
    """

    kind: str
    name: str = ""
    owner: str = ""
    server: str = ""
    content_id: str = ""

    def __str__(self) -> str:
        words = [f"{self.kind} {self.name!r}" if self.name else self.kind]
        words += [f"of {self.owner}"] if self.owner else []
        words += [f"licences at {self.server}"] if self.server else []
        words += [f"content {self.content_id}"] if self.content_id else []
        return ", ".join(words)
