"""Frozen dataclasses with read-only mappings, made so that a process can hand them to another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any


def parts(frozen: Any) -> tuple[Any, tuple[Any, ...]]:
    """For `__reduce__`: the class and its fields in order, mappings as plain dictionaries."""
    values = (getattr(frozen, field.name) for field in fields(frozen))
    return type(frozen), tuple(dict(value) if isinstance(value, Mapping) else value for value in values)
