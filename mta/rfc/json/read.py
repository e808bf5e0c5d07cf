"""Reads JSON of strangers (RFC 8259) as I-JSON wants it (RFC 7493): what readers take differently is refused."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from mta.errors import JsonError

MAX_VALUES = 50_000
_SIGNS = (b"{", b"[", b",")


def read_json(data: bytes, limit: int, values: int = MAX_VALUES) -> object:
    """The value in `data`, of at most `limit` octets and about `values` values. Raises JsonError.

    An empty list costs two octets there and sixty here: the number of values bounds the memory.
    """
    if len(data) > limit:
        raise JsonError(f"JSON of {len(data)} octets, at most {limit} are read")
    if sum(map(data.count, _SIGNS)) > values:
        raise JsonError(f"JSON of more than {values} values")
    try:
        # RFC 7493 §2.1: UTF-8, no lone surrogates; strict decoding refuses what is neither
        return json.loads(data.decode("utf-8"), object_pairs_hook=_object, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise JsonError(f"not JSON: {error}") from None


def read_object(data: bytes, limit: int, values: int = MAX_VALUES) -> dict[str, Any]:
    """The object in `data`. Raises JsonError for anything else."""
    value = read_json(data, limit, values)
    if not isinstance(value, dict):
        raise JsonError("JSON, but no object")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):  # RFC 7493 §2.3: readers disagree whether the first or the last one counts
        raise JsonError("JSON with the same name twice in one object")
    return value


def _no_constant(word: str) -> NoReturn:
    raise JsonError(f"JSON with {word}, which is no number")
