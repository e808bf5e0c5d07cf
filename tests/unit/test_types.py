"""`Any` switches the type checker off: where facts are held and decided, it stays as rare as it is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "mta"
MOST = {"model": 0, "contract": 3, "pipeline": 3, "ports": 6, "observe": 6, "queue": 16, "policy": 40}


def uses(path: Path) -> int:
    tree = ast.parse(path.read_text("utf-8"))
    return sum(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(tree))


@pytest.mark.parametrize(("floor", "most"), MOST.items())
def test_any_is_as_rare_as_it_is(floor: str, most: int) -> None:
    found = {path.name: count for path in (ROOT / floor).rglob("*.py") if (count := uses(path))}
    assert sum(found.values()) <= most, f"write object, a TypedDict, a Protocol or the class instead: {found}"
