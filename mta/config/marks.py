"""YAML text in, plain data out, with the line and column of every part.

The events of PyYAML are read directly: places are kept, depth and aliases are bounded while the text is read, and
scalars are resolved by the rules of YAML 1.2. What YAML 1.1 reads otherwise (`no`, `022`, `1:30`) stays text and is
remembered as a doubt: the schema decides whether text was meant there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from mta.config.problems import Marks, Path, Problem, Spot, dotted, shown

MAX_DEPTH = 40
MAX_ALIASED = 50_000  # nodes that aliases may stand for, all together

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one where PyYAML was built with it
_CONTROL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_EXPONENT = r"[eE][-+]?[0-9]{1,3}"
_FLOAT = re.compile(rf"[-+]?((\.[0-9]+|(0|[1-9][0-9]*)\.[0-9]*)({_EXPONENT})?|(0|[1-9][0-9]*){_EXPONENT})")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_ODD_NUMBER = re.compile(r"[-+]?(0[0-9_]+|0[xob][0-9a-fA-F_]+|[0-9]+(_[0-9_]*)+|\.(inf|nan))", re.IGNORECASE)
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_OLD_BOOLEANS = frozenset({"yes", "no", "on", "off"})
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_MAYBE_WORD = frozenset("tTfFnNyYoO~.+-0123456789")
_TAGS = frozenset({None, "!", *(f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "map", "seq"))})
_TEXT_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})


@dataclass(frozen=True, slots=True)
class Doubt:
    """A plain scalar that YAML 1.1 does not read as text. `kind` is `boolean` or `number`."""

    text: str
    kind: str
    is_key: bool = False


@dataclass(slots=True)
class Document:
    """What the text said. `data` is None if it could not be read; `holes` are keys that have no value."""

    marks: Marks
    data: Any = None
    problems: list[Problem] = field(default_factory=list)
    doubts: dict[Path, Doubt] = field(default_factory=dict)
    holes: set[Path] = field(default_factory=set)


def parse(text: str, file: str) -> Document:
    """Read one YAML document. Never raises for any text: what is wrong stands in `problems`."""
    document = Document(Marks(file))
    bad = _CONTROL.search(text.removeprefix("\ufeff"))
    if bad:
        before = text[: bad.start()]
        spot = (before.count("\n") + 1, bad.start() - before.rfind("\n"))
        message = f"the character U+{ord(bad.group()):04X} may not stand in YAML"
        document.problems.append(Problem(file, *spot, "", message, "is this a text file in UTF-8?"))
        return document
    builder = _Builder(document)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
        document.data = builder.root
    except _Stop:
        document.data = None
    except yaml.YAMLError as error:
        document.problems.append(_syntax_problem(error, file))
    return document


def _syntax_problem(error: yaml.YAMLError, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, col = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    what = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    context = getattr(error, "context", None)
    hint = "indent with spaces, never with tabs" if "start any token" in str(what) else ""
    return Problem(file, line, col, "", f"not YAML: {f'{context}: ' if context else ''}{what}", hint)


class _Stop(Exception):
    """Reading on is of no use; the problem was recorded."""


class _Frame:
    """A list or object that is being read."""

    __slots__ = ("anchor", "container", "key", "path", "shadow", "weight")

    def __init__(self, container: Any, path: Path, anchor: str | None, shadow: bool) -> None:
        self.container = container
        self.path = path
        self.anchor = anchor
        self.key: str | None = None
        self.shadow = shadow  # the current key is a duplicate: its value is read and forgotten
        self.weight = 1


class _Builder:
    """Takes events one by one; deep nesting costs a list entry, never a level of the interpreter's stack."""

    def __init__(self, document: Document) -> None:
        self.root: Any = None
        self._document = document
        self._marks = document.marks
        self._frames: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._aliased = 0
        self._documents = 0
        self._takers = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: lambda event: self._open(event, {}),
            yaml.SequenceStartEvent: lambda event: self._open(event, []),
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._start,
        }

    def take(self, event: Any) -> None:
        taker = self._takers.get(type(event))
        if taker:
            taker(event)

    def _start(self, event: Any) -> None:
        self._documents += 1
        if self._documents > 1:
            self._stop(event, (), "a second YAML document begins here", "one file holds one configuration")

    def _scalar(self, event: Any) -> None:
        mark = event.start_mark
        spot = (mark.line + 1, mark.column + 1)
        if self._awaits_key():
            self._key(self._frames[-1], event, spot)
            return
        path = self._place()
        if event.tag not in _TAGS:
            self._tag(event, path)
        self._marks.values[path] = spot
        value: Any = event.value
        if event.implicit[0] or (event.tag is not None and event.tag not in _TEXT_TAGS):
            value, kind = _resolve(value)
            if kind:
                self._document.doubts[path] = Doubt(event.value, kind)
        self._attach(value, path, event.anchor, 1)

    def _key(self, frame: _Frame, event: Any, spot: Spot) -> None:
        key: str = event.value
        path = (*frame.path, key)
        if key in frame.container or path in self._marks.keys:
            first = self._marks.keys[path][0]
            self._problem(event, path, "this key is given twice", f"first in line {first}; only one can hold")
            frame.key, frame.shadow = f"{key}\0{spot[0]}:{spot[1]}", True
            return
        frame.key = key
        self._marks.keys[path] = spot
        if event.implicit[0] and _resolve(key)[1]:
            self._document.doubts[path] = Doubt(key, _resolve(key)[1], is_key=True)

    def _open(self, event: Any, container: Any) -> None:
        if self._awaits_key():
            self._stop(event, self._frames[-1].path, "a key must be a word, not an object or a list")
        path = self._place()
        if len(self._frames) >= MAX_DEPTH:
            self._stop(event, (), f"nested more than {MAX_DEPTH} levels deep")
        if event.tag not in _TAGS:
            self._tag(event, path)
        mark = event.start_mark
        self._marks.values[path] = self._marks.keys.get(path) or (mark.line + 1, mark.column + 1)
        self._frames.append(_Frame(container, path, event.anchor, False))

    def _close(self, _event: Any) -> None:
        frame = self._frames.pop()
        self._attach(frame.container, frame.path, frame.anchor, frame.weight)

    def _alias(self, event: Any) -> None:
        if self._awaits_key():
            self._stop(event, self._frames[-1].path, "a key must be a word, not an alias")
        path = self._place()
        if event.anchor not in self._anchors:
            self._stop(event, path, f"no anchor &{event.anchor} stands before this alias")
        value, weight = self._anchors[event.anchor]
        self._aliased += weight
        if self._aliased > MAX_ALIASED:
            self._stop(event, path, "aliases stand for too much", f"at most {MAX_ALIASED} values all together")
        self._marks.values[path] = (event.start_mark.line + 1, event.start_mark.column + 1)
        self._attach(value, path, None, weight)

    def _awaits_key(self) -> bool:
        return bool(self._frames) and self._frames[-1].key is None and type(self._frames[-1].container) is dict

    def _place(self) -> Path:
        """The path of the value that comes now."""
        if not self._frames:
            return ()
        frame = self._frames[-1]
        return (*frame.path, frame.key if frame.key is not None else len(frame.container))

    def _attach(self, value: Any, path: Path, anchor: str | None, weight: int) -> None:
        if anchor:
            self._anchors[anchor] = (value, weight)
        if not self._frames:
            self.root = value
            return
        frame = self._frames[-1]
        frame.weight += weight
        key, shadow, frame.key, frame.shadow = frame.key, frame.shadow, None, False
        if shadow:
            return
        if value is None:
            self._hole(path)
        elif key is None:
            frame.container.append(value)
        else:
            frame.container[key] = value

    def _hole(self, path: Path) -> None:
        self._document.holes.add(path)
        line, col = self._marks.key(path)
        hint = "write a value, {} for an empty object, or remove the key"
        problem = Problem(self._marks.file, line, col, dotted(path), "there is no value here", hint)
        self._document.problems.append(problem)

    def _tag(self, event: Any, path: Path) -> None:
        self._problem(event, path, f"the tag {shown(event.tag)} has no meaning here", "remove it")

    def _problem(self, event: Any, path: Path, message: str, hint: str = "") -> None:
        mark = event.start_mark
        problem = Problem(self._marks.file, mark.line + 1, mark.column + 1, dotted(path), message, hint)
        self._document.problems.append(problem)

    def _stop(self, event: Any, path: Path, message: str, hint: str = "") -> None:
        self._problem(event, path, message, hint)
        raise _Stop


def _resolve(text: str) -> tuple[Any, str]:
    """A plain scalar by YAML 1.2's core rules, and which kind of doubt remains (or none)."""
    if text and text[0] not in _MAYBE_WORD:
        return text, ""
    if text in _NULLS:
        return None, ""
    if text in _BOOLEANS:
        return _BOOLEANS[text], ""
    if text.lower() in _OLD_BOOLEANS:
        return text, "boolean"
    if _INTEGER.fullmatch(text):
        return int(text), ""
    if _FLOAT.fullmatch(text):
        return float(text), ""
    if _SEXAGESIMAL.fullmatch(text) or _ODD_NUMBER.fullmatch(text):
        return text, "number"
    return text, ""
