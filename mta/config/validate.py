"""Plain data against the schema: every fault at its place, in our words; what is sound goes on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from mta.config.marks import Document
from mta.config.problems import Path, Report, did_you_mean, shown
from mta.config.settings import Settings
from mta.config.words import TAGS

_ROUNDS = 12  # each round takes away what the round before found; depth of the schema bounds it
_STAND_IN = {"hostname": "unknown.invalid"}  # so that the rest is examined even if `server` cannot be


def validate(document: Document, report: Report) -> Settings | None:
    """The settings, reporting every fault; None if nothing sensible is left.

    After faults the settings lack the faulty parts and `report.damaged` names the objects that lost them.
    """
    told: dict[Path, str] = {}
    report.damaged.update(_around(hole) for hole in document.holes)
    data = document.data
    for turn in range(_ROUNDS):
        try:
            settings = Settings.model_validate(data)
        except ValidationError as error:
            faults = [(_path(fault["loc"]), fault) for fault in error.errors(include_url=False)]
            for path, fault in faults:
                if turn == 0 and path not in document.holes:
                    told[path] = _tell(report, document, path, fault)
            if not _prune(data, [(path, str(fault["type"])) for path, fault in faults], report):
                break
        else:
            _tell_doubts(document, report, told)
            return settings
    _tell_doubts(document, report, told)
    return None


def _path(loc: tuple[int | str, ...]) -> Path:
    return tuple(part for part in loc if part not in TAGS)


def _around(path: Path) -> Path:
    """The object that suffers: a connector, a domain, a part of `server`, or the whole."""
    return path[:2]


def _tell(report: Report, document: Document, path: Path, fault: Any) -> str:
    message, hint, at_key = _words(path, fault)
    doubt = document.doubts.get(path)
    if doubt:
        hint = _doubt_hint(doubt.kind, doubt.text, str(fault["type"])) or hint
    report.problem(path, message, hint, key=at_key)
    return message


def _words(path: Path, fault: Any) -> tuple[str, str, bool]:
    """Message, hint and whether the key is meant."""
    kind, given, context = str(fault["type"]), fault["input"], fault.get("ctx", {})
    if kind == "extra_forbidden":
        known = known_keys(path[:-1])
        if path[-1] in known:  # where objects of several types may stand
            return "unknown key", "it belongs to another type", True
        near = did_you_mean(str(path[-1]), known)
        return "unknown key", near or f"known here: {', '.join(known)}", True
    if kind == "missing":
        return "this key is required", "", True
    if kind == "value_error":
        cause = context["error"]
        return str(cause), getattr(cause, "hint", ""), False
    if kind == "literal_error":
        words = re.findall(r"'([^']*)'", str(context["expected"]))
        near = did_you_mean(given, words) if isinstance(given, str) else ""
        return f"expected {' or '.join(words)}, found {shown(given)}", near, False
    if kind == "too_short":
        return "expected at least one entry", "", False
    expected = _EXPECTED.get(kind)
    if expected is None:
        return f"cannot be: {fault['msg']}", "", False
    return f"expected {expected[0]}, found {shown(given)}", expected[1], False


_EXPECTED = {
    "bool_type": ("true or false", "write true or false"),
    "bool_parsing": ("true or false", "write true or false"),
    "list_type": ("a list", "write it like [one, two]"),
    "dict_type": ("an object", "write keys below it, or {}"),
    "model_type": ("an object", "write keys below it, or {}"),
    "model_attributes_type": ("an object", "write keys below it, or {}"),
    "string_type": ("text", "put it in quotes"),
}


def _doubt_hint(kind: str, text: str, fault: str) -> str:
    if kind == "boolean" and fault.startswith("bool_"):
        return "write true or false"
    return "" if kind == "boolean" else f"YAML reads {shown(text)} in several ways: write a plain decimal number"


def _tell_doubts(document: Document, report: Report, told: dict[Path, str]) -> None:
    """Words that stand where text is meant, and that YAML 1.1 readers take for a boolean or a number."""
    for path, doubt in document.doubts.items():
        if not doubt.is_key and path in told:
            continue
        if any(path[:n] in told for n in range(1, len(path))):
            continue  # inside something that is wrong as a whole
        if not doubt.is_key and doubt.text in _known_words(path):
            continue  # the key has a choice of words, and this is one of them
        message = f"unquoted {shown(doubt.text)} is a {doubt.kind} to many readers of YAML"
        report.problem(path, message, f'where text is meant, put it in quotes: "{shown(doubt.text)}"', key=doubt.is_key)


def _prune(data: Any, faults: list[tuple[Path, str]], report: Report) -> bool:
    """Take the faulty parts out of `data`; False if nothing would be left."""
    if not isinstance(data, dict):
        return False
    for path, kind in faults:
        target = path if kind == "extra_forbidden" else _smallest_part(path[:-1] if kind == "missing" else path)
        if not target or target == ("server",) or path == ("server",):
            data["server"] = dict(_STAND_IN)
            report.damaged.add(("server",))
            continue
        _remove(data, target)
        report.damaged.add(_around(target))
    return True


def _smallest_part(path: Path) -> Path:
    """The part to take out: a whole list rather than one of its items, whose places would shift."""
    first_item = next((i for i, part in enumerate(path) if isinstance(part, int)), len(path))
    return path[:first_item]


def _remove(data: Any, path: Path) -> None:
    for part in path[:-1]:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return  # already gone with something around it
    if isinstance(data, dict):
        data.pop(path[-1], None)


def known_keys(path: Path) -> list[str]:
    """The keys the schema has for the object at `path`."""
    found = [model for model in _known(path) if isinstance(model, type) and issubclass(model, BaseModel)]
    return [field.alias or key for model in found for key, field in model.model_fields.items()]


def _known_words(path: Path) -> list[str]:
    """The words of which the schema has one at `path`."""
    return [word for word in _known(path) if isinstance(word, str)]


def _known(path: Path) -> list[Any]:
    """The types and words that the schema allows at `path`."""
    found: list[Any] = [Settings]
    for part in path:
        found = [inner for outer in found for inner in _inside(outer, part)]
    return found


def _inside(annotation: Any, part: str | int) -> Iterator[Any]:
    """The types that the schema allows at key or index `part` of `annotation`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for key, field in annotation.model_fields.items():
            if part == (field.alias or key):
                yield from _alternatives(field.annotation)
        return
    arguments = get_args(annotation)
    if arguments:
        yield from _alternatives(arguments[-1])


def _alternatives(annotation: Any) -> Iterator[Any]:
    """A union's members and what stands inside Annotated; dict and list are kept whole."""
    origin = getattr(annotation, "__origin__", None)
    if hasattr(annotation, "__metadata__"):
        yield from _alternatives(origin)
    elif origin in (dict, list) or not get_args(annotation):
        yield annotation
    else:
        for member in get_args(annotation):
            yield from _alternatives(member)
