"""The benchmarks are run by hand: here at least what they name must be there."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
NAMED = sorted(
    {
        (path.name, node.module, alias.name)
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("mta", "tests")
        for alias in node.names
    }
)


def test_they_name_something() -> None:
    assert len(NAMED) > 20


@pytest.mark.parametrize(("benchmark", "module", "name"), NAMED)
def test_what_a_benchmark_names_is_there(benchmark: str, module: str, name: str) -> None:
    assert hasattr(importlib.import_module(module), name), f"{benchmark}: {module} has no {name}"
