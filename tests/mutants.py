"""Mutation testing of `mta/policy`: does some test notice where one operator of a decision is another?

    python -m tests.mutants identify deliver     # these modules; without a name all of the floor (takes long)

Each mutant is run in a fork of its own and exists in memory alone; the tests are those of the module and those beside
them that import it. A mutant that no test fails for is named with its line and what was changed. It may be the same
program in other words; if it is not, a test is missing.
"""

from __future__ import annotations

import ast
import copy
import importlib
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
POLICY, TESTS = ROOT / "mta" / "policy", ROOT / "tests" / "unit" / "policy"
LONGEST = 60  # seconds of CPU for the tests of one mutant: one that runs on for ever is noticed, too

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: of the `place`-th node, told as `text`."""

    module: str
    place: int
    line: int
    text: str


def changed(node: ast.AST) -> ast.AST | None:
    """The node with its operator or value turned; None for a node that has none."""
    other = copy.deepcopy(node)
    if isinstance(other, ast.Compare) and type(other.ops[0]) in _COMPARED:
        other.ops[0] = _COMPARED[type(other.ops[0])]()
    elif isinstance(other, ast.BoolOp):
        other.op = ast.Or() if isinstance(other.op, ast.And) else ast.And()
    elif isinstance(other, ast.UnaryOp) and isinstance(other.op, ast.Not):
        return other.operand
    elif isinstance(other, ast.Constant) and isinstance(other.value, bool):
        other.value = not other.value
    elif isinstance(other, ast.Constant) and isinstance(other.value, int):
        other.value += 1
    else:
        return None
    return other


def mutants(module: str) -> Iterator[Mutant]:
    """All of a module of the policy."""
    for place, node in enumerate(ast.walk(_tree(module))):
        other = changed(node)
        if other is not None:
            yield Mutant(module, place, node.lineno, f"{ast.unparse(node)}  ->  {ast.unparse(other)}")  # type: ignore[attr-defined]


def _tree(module: str) -> ast.Module:
    return ast.parse((POLICY / f"{module}.py").read_text(encoding="utf-8"))


class _Swap(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return ast.copy_location(self.new, node) if node is self.old else self.generic_visit(node)


def source_of(mutant: Mutant) -> ast.Module:
    """The whole module with that one change."""
    tree = _tree(mutant.module)
    node = list(ast.walk(tree))[mutant.place]
    other = changed(node)
    assert other is not None
    swapped: ast.Module = ast.fix_missing_locations(_Swap(node, other).visit(tree))
    return swapped


def tests_of(module: str) -> list[str]:
    """The files of tests that could notice."""
    found = [path for path in sorted(TESTS.glob("test_*.py")) if f"policy.{module} import" in path.read_text("utf-8")]
    return [str(path) for path in sorted(found, key=lambda path: path.stem != f"test_{module}")]


def survives(mutant: Mutant, files: list[str]) -> bool:
    """Whether every test still passes."""
    child = os.fork()
    if not child:
        os._exit(_judge(mutant, files))
    _, status = os.waitpid(child, 0)
    return status == 0


def _judge(mutant: Mutant, files: list[str]) -> int:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    signal.setitimer(signal.ITIMER_PROF, LONGEST)
    try:
        name = f"mta.policy.{mutant.module}"
        loaded = importlib.import_module(name)
        exec(compile(source_of(mutant), str(POLICY / f"{mutant.module}.py"), "exec"), loaded.__dict__)
        return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--tb=no", *files]))
    except BaseException:
        return 1


def main(modules: list[str]) -> int:
    """Print what survived; 0 if nothing did."""
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    survivors = 0
    for module in modules or sorted(path.stem for path in POLICY.glob("[a-z]*.py")):
        files, known = tests_of(module), list(mutants(module))
        if not files:
            print(f"{module}: no test imports it")
            continue
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            lives = list(pool.map(survives, known, [files] * len(known)))
        alive = [one for one, still in zip(known, lives, strict=True) if still]
        print(f"{module}: {len(known)} mutants, {len(alive)} survived", flush=True)
        for one in alive:
            print(f"  {one.line}: {one.text}", flush=True)
        survivors += len(alive)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
