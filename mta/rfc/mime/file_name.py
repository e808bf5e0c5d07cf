"""Names of files that came with a message or go out with one: a stranger's words, made names on every system."""

from __future__ import annotations

_LONGEST = 200  # octets of UTF-8; with an ending it fits every file system's 255


def file_name(name: str, without: str = "file") -> str:
    """A name that is one on every system: no path, no control or turning characters, not too long.

    `without` is what a file is called that has no name.
    """
    return line_name(name.replace("\\", "/").rpartition("/")[2]) or without


def line_name(text: str) -> str:
    """The same of a line of text, a subject for one, whose strokes part no folders; may be empty."""
    plain = "".join(c if c.isprintable() and c not in '<>:"|?*/\\' else "_" for c in text)
    return plain.encode("utf-8", "replace")[:_LONGEST].decode("utf-8", "ignore").strip(". ")
