"""What is wrong with a configuration, and where: one line a problem."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches

Path = tuple[str | int, ...]
Spot = tuple[int, int]  # line and column, both counted from 1


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One problem (or warning) at its place. `path` is dotted (`connectors.fabrikam.domains[0]`), maybe empty."""

    file: str
    line: int
    col: int
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.col}: "
        subject = f"{self.path}: " if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return one_line(f"{place}{subject}{self.message}{hint}")

    def document(self) -> dict[str, str | int]:
        """The object of `mta check --json`."""
        return {
            "file": self.file,
            "line": self.line,
            "column": self.col,
            "path": self.path,
            "message": self.message,
            "hint": self.hint,
        }


class Marks:
    """Where each path of a YAML document stands: `values` begin there, `keys` are written there."""

    __slots__ = ("file", "keys", "values")

    def __init__(self, file: str) -> None:
        self.file = file
        self.values: dict[Path, Spot] = {}
        self.keys: dict[Path, Spot] = {}

    def at(self, path: Path) -> Spot:
        """The place of a scalar or list item, the key of an object or list, or the nearest thing around it."""
        return self._nearest(self.values, path)

    def key(self, path: Path) -> Spot:
        """The place of the key itself."""
        return self.keys.get(path) or self.at(path)

    @staticmethod
    def _nearest(spots: dict[Path, Spot], path: Path) -> Spot:
        while path not in spots and path:
            path = path[:-1]
        return spots.get(path, (1, 1))


class Report:
    """Collects the problems and warnings of one document."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []
        self.ailments: list[Problem] = []  # of a file that one direction of one connector stands on
        self.ailing: dict[tuple[str, str], list[str]] = {}  # connector and direction: what is wrong with its files
        self.damaged: set[Path] = set()  # objects that lost a part because it could not be read

    def problem(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """Something that must be mended. `key`: the key is at fault, not its value."""
        self.problems.append(self._make(path, message, hint, key))

    def ailment(self, path: Path, message: str, hint: str = "") -> None:
        """A file that cannot be used: of a connector's direction that stops alone, of anything else the whole stops."""
        if path[:1] != ("connectors",) or len(path) < 4:
            self.problem(path, message, hint)
            return
        self.ailments.append(self._make(path, message, hint, False))
        told = self.ailing.setdefault((str(path[1]), str(path[2])), [])
        told.append(one_line(f"{dotted(path[2:])}: {message}"))

    def warning(self, path: Path, message: str, hint: str = "", *, key: bool = False) -> None:
        """Something that works, but is hardly meant."""
        self.warnings.append(self._make(path, message, hint, key))

    def missing(self, path: Path, message: str, hint: str = "") -> None:
        """A problem that something is absent: told only if no part of its object was lost to another problem."""
        if self.intact(path):
            self.problem(path, message, hint, key=True)

    def intact(self, path: Path) -> bool:
        """Whether the object around `path` was read completely."""
        return path[:2] not in self.damaged and path[:1] not in self.damaged

    def line(self, path: Path) -> int:
        """The line on which the key of `path` stands."""
        return self.marks.key(path)[0]

    def _make(self, path: Path, message: str, hint: str, key: bool) -> Problem:
        line, col = self.marks.key(path) if key else self.marks.at(path)
        return Problem(self.marks.file, line, col, dotted(path), message, hint)


def dotted(path: Path) -> str:
    """`("a", "b", 0)` as `a.b[0]`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else "." + part.partition("\0")[0] for part in path)
    return text.removeprefix(".")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint with the nearest known word; empty if none is near."""
    near = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6) if len(word) <= 80 else []
    return f"did you mean {near[0]}?" if near else ""


def in_order(problems: Iterable[Problem]) -> Iterator[Problem]:
    """By file and place, each once."""
    return iter(sorted(set(problems)))


def shown(value: object) -> str:
    """A value as it may stand in a message: short and on one line."""
    text = {True: "true", False: "false"}.get(value) if isinstance(value, bool) else None
    if text is None:
        text = "an object" if isinstance(value, dict) else "a list" if isinstance(value, list) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def one_line(text: str) -> str:
    """The text with everything escaped that would break the line or disturb a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
