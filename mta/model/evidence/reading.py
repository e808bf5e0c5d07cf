"""Reading JSON that may be of another version, or damaged: what is missing or of another type counts as empty."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Json = Mapping[str, object]
NOTHING: Json = {}


def part(raw: object, key: str) -> Json:
    """The object at `key`."""
    found = raw.get(key) if isinstance(raw, Mapping) else None
    return found if isinstance(found, Mapping) else NOTHING


def parts(raw: Json, key: str) -> tuple[Json, ...]:
    """The objects of the array at `key`."""
    return tuple(each for each in _array(raw, key) if isinstance(each, Mapping))


def text(raw: Json, key: str) -> str:
    """The text at `key`."""
    found = raw.get(key)
    return found if isinstance(found, str) else ""


def texts(raw: Json, key: str) -> tuple[str, ...]:
    """The texts of the array at `key`."""
    return tuple(each for each in _array(raw, key) if isinstance(each, str))


def flag(raw: Json, key: str) -> bool:
    """Whether `true` stands at `key`."""
    return raw.get(key) is True


def number(raw: Json, key: str) -> float:
    """The number at `key`."""
    found = raw.get(key)
    return float(found) if isinstance(found, (int, float)) else 0.0


def whole(raw: Json, key: str) -> int:
    """The number at `key` without its fraction."""
    found = raw.get(key)
    return int(found) if isinstance(found, (int, float)) and abs(found) < 1e15 else 0


def _array(raw: Json, key: str) -> Sequence[object]:
    found = raw.get(key)
    return found if isinstance(found, (list, tuple)) else ()
