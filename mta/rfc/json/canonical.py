"""The canonical form of JSON (RFC 8785, JCS): the bytes that are hashed and signed."""

from __future__ import annotations

import json
import math
from json.encoder import encode_basestring
from typing import Any

from mta.errors import JsonError

_text = encode_basestring  # its escapes are those of RFC 8785 §3.2.2.2
_SORTED = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), check_circular=False)
_LEAST, _MOST = 1e-4, 1e15  # between them neither Python nor ECMAScript writes an exponent
_EXACT = 2**53 - 1  # RFC 7493 §2.2: beyond it doubles, and so other readers, round


def canonical(value: object) -> bytes:
    """`value` (of None, bool, int, float, str, list, tuple, dict) in canonical form. Raises JsonError."""
    try:
        text = _SORTED.encode(value) if _is_plain(value) else _written(value)
        return text.encode("utf-8")  # a lone surrogate is refused here (RFC 8785 §3.2.2.2)
    except (UnicodeEncodeError, RecursionError) as error:
        raise JsonError(f"no canonical JSON: {error}") from None


def _is_plain(value: Any) -> bool:
    """Whether the standard library's sorted JSON is the canonical form: names in ASCII, no odd doubles.

    Python and ECMAScript both write the shortest digits that are the double (RFC 8785 §3.2.2.3), and differ in whole
    numbers, which Python writes with a point, and in where an exponent begins.
    """
    waiting = [value]
    for part in waiting:  # which grows while we go
        if isinstance(part, str) or part is None:
            continue
        if isinstance(part, dict):
            for name in part:
                if not isinstance(name, str) or not name.isascii():
                    return False
            waiting += part.values()
        elif isinstance(part, list | tuple):
            waiting += part
        elif isinstance(part, float):
            if not part % 1 or not _LEAST <= abs(part) < _MOST:
                return False
        elif not isinstance(part, int) or not -_EXACT <= part <= _EXACT:  # a bool is an int
            return False
    return True


def _written(value: object) -> str:
    if isinstance(value, str):
        return _text(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return _number(value)
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(_written, value)) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_text(name)}:{_written(value[name])}" for name in _sorted(value)) + "}"
    raise JsonError(f"no canonical JSON: a value of type {type(value).__name__}")


def _sorted(value: dict[str, Any]) -> list[str]:
    if not all(isinstance(name, str) for name in value):
        raise JsonError("no canonical JSON: a name that is no text")
    if all(name.isascii() for name in value):
        return sorted(value)
    return sorted(value, key=lambda name: name.encode("utf-16-be"))  # RFC 8785 §3.2.3: by UTF-16 code units


def _number(value: float) -> str:
    """RFC 8785 §3.2.2.3: as ECMAScript writes a double."""
    if isinstance(value, int):
        if abs(value) > _EXACT:
            raise JsonError(f"no canonical JSON: the number {value} has no exact double")
        return str(value)
    if not math.isfinite(value):
        raise JsonError(f"no canonical JSON: the number {value}")
    sign = "-" if value < 0 else ""
    mantissa, _, power = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(power or 0) - (len(whole + fraction) - len(digits))  # where the point stands in `digits`
    digits = digits.rstrip("0")
    return sign + _placed(digits, point) if digits else "0"


def _placed(digits: str, point: int) -> str:
    """ECMA-262, Number::toString: `digits` with the decimal point behind the first `point` of them."""
    if len(digits) <= point <= 21:
        return digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return "0." + "0" * -point + digits
    power = f"e{point - 1:+d}"
    return digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "") + power
