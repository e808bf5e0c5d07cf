"""Functions fit a screen and files are read at one sitting: what is over is named. `pytest -s` prints the numbers."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median, quantiles

ROOT = Path(__file__).resolve().parents[2] / "mta"
FILES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in sorted(ROOT.rglob("*.py"))}

MEDIAN, MOST_ARE, LONGEST, LONGEST_FILE = 8, 20, 40, 350  # lines; MOST_ARE: of nine functions in ten


def _functions() -> dict[str, int]:
    """The lines of each function from `def` on, by `file:line name`."""
    return {
        f"{name}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for name, text in FILES.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def _over(sizes: dict[str, int], most: int) -> list[str]:
    return [f"{name}: {lines} lines" for name, lines in sizes.items() if lines > most]


def test_functions_fit_a_screen() -> None:
    sizes = _functions()
    middle, ninth = median(sizes.values()), quantiles(sizes.values(), n=10)[-1]
    print(
        f"{len(sizes)} functions: median {middle:g}, nine of ten up to {ninth:g}, longest {max(sizes.values())} lines"
    )
    assert _over(sizes, LONGEST) == []
    assert middle <= MEDIAN
    assert ninth <= MOST_ARE


def test_files_are_read_at_one_sitting() -> None:
    sizes = {name: len(text.splitlines()) for name, text in FILES.items()}
    print(f"{len(sizes)} files: median {median(sizes.values()):g}, longest {max(sizes.values())}")
    assert _over(sizes, LONGEST_FILE) == []
