"""The house keeps its floors: imports run downward only, and the pure floors stay pure."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2] / "mta"
EVERYWHERE = {"model", "errors", "observe"}

# floor -> what its files may import of ours, besides their own floor
MAY_IMPORT = {
    "model": set(),
    "observe": {"model"},
    "errors": set(),
    "lane": set(),
    "rfc": EVERYWHERE | {"ports"},
    "ports": EVERYWHERE,
    "contract": EVERYWHERE | {"rfc", "ports"},
    "config": EVERYWHERE | {"rfc", "ports", "contract"},
    "importers": EVERYWHERE | {"rfc", "ports", "contract", "config"},
    "policy": EVERYWHERE | {"rfc", "ports", "contract", "importers"},
    "pipeline": EVERYWHERE | {"rfc", "ports", "contract", "policy", "lane"},
    "queue": EVERYWHERE | {"rfc", "ports", "contract", "policy", "pipeline"},
    "vault": EVERYWHERE | {"rfc", "ports", "contract", "policy"},
    "web": EVERYWHERE | {"rfc", "ports", "contract", "policy", "queue", "vault"},
    "adapters": EVERYWHERE | {"rfc", "ports", "lane"},
    "worker": EVERYWHERE | {"rfc", "ports", "contract", "policy", "pipeline", "queue"},
    "role": EVERYWHERE | {"contract"},
    "plan": EVERYWHERE | {"contract", "role"},
    "supervisor": EVERYWHERE | {"contract", "plan"},
    "app": EVERYWHERE
    | {"rfc", "ports", "contract", "config", "policy", "pipeline", "queue", "adapters"}
    | {"worker", "supervisor", "plan", "role", "vault", "web"},
    "cli": EVERYWHERE
    | {"rfc", "ports", "contract", "config", "importers", "policy", "pipeline", "queue", "app", "__init__", "vault"},
    "__main__": {"cli"},
    "__init__": set(),
}
RFC_MAY_IMPORT = {
    "arc": {"dkim"},
    "smime": {"mime", "pkix"},
    "smimea": {"dane", "pkix"},
    "dsn": {"mime", "smtp"},
    "tlsrpt": {"mime"},
    "arf": {"mime"},
    "irm": {"mime"},
    "dane": {"pkix"},
    "mime": {"smtp"},
    "pkix": {"idna"},
    "smtp": {"idna"},
    "dkim": {"idna"},
    "jose": {"json"},
    "oidc": {"jose"},
    "tdf": {"jose", "json"},
    "kas": {"jose", "json", "tdf"},
    "tlog": {"jose", "json"},
}
PURE = ("model", "policy", "rfc")
FORBIDDEN_MODULES = {"socket", "random", "secrets", "ssl", "subprocess", "threading", "asyncio"}
CLOCKS = {("time", "time"), ("time", "monotonic"), ("time", "localtime"), ("datetime", "now"), ("datetime", "utcnow")}


def _files() -> list[Path]:
    return sorted(path for path in ROOT.rglob("*.py"))


def _floor(path: Path) -> str:
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def _imports(tree: ast.AST) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.append(node.module)
            names.extend(f"{node.module}.{alias.name}" for alias in node.names if node.module == "mta")
    return names


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downward(path: Path) -> None:
    """A file imports only floors below its own."""
    floor = _floor(path)
    assert floor in MAY_IMPORT, f"{path.name}: a new floor needs a place in the house"
    for name in _imports(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[0] != "mta":
            continue
        target = parts[1] if len(parts) > 1 else "__init__"
        if target == "__version__":
            continue
        assert target == floor or target in MAY_IMPORT[floor], f"{floor} must not import {name}"


def _module(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _arrows() -> dict[str, set[str]]:
    """Which module imports which, wherever in the file it says so, for type checkers too.

    `from package import module` is an arrow to the module: its package is only the folder it lies in.
    """
    modules = {_module(path): path for path in _files()}
    arrows: dict[str, set[str]] = {module: set() for module in modules}
    for module, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                arrows[module].update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = {f"{node.module}.{alias.name}" for alias in node.names}
                arrows[module] |= names & modules.keys()
                if names - modules.keys():
                    arrows[module].add(node.module)
    return {module: (targets & modules.keys()) - {module} for module, targets in arrows.items()}


def _circles(arrows: dict[str, set[str]]) -> list[list[str]]:
    """Modules that can reach each other: what is left when those that nobody or nothing in a circle needs have gone."""
    left = {module: set(targets) for module, targets in arrows.items()}
    while True:
        needed = set().union(*left.values())
        kept = {module for module, targets in left.items() if targets and module in needed}
        if len(kept) == len(left):
            break
        left = {module: left[module] & kept for module in kept}
    reach = {module: _reach(left, module) for module in left}
    found = {frozenset(other for other in reach[one] if one in reach[other]) for one in left if one in reach[one]}
    return sorted(sorted(circle) for circle in found)


def _reach(arrows: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        fresh = arrows[waiting.pop()] - seen
        seen |= fresh
        waiting.extend(fresh)
    return seen


def test_no_two_files_need_each_other() -> None:
    """No circle of imports, within a package either: one of its files could not be understood without the others."""
    assert _circles(_arrows()) == []


def test_a_circle_is_seen() -> None:
    """Of two files and of more, beside others that lead to it or away from it."""
    arrows = {"a": {"b"}, "b": {"c", "x"}, "c": {"b", "d"}, "d": {"e"}, "e": {"f"}, "f": {"e", "x"}, "x": set()}
    assert _circles(arrows) == [["b", "c"], ["e", "f"]]


def test_a_worker_cannot_read_the_configuration() -> None:
    """It is handed what the supervisor judged: nothing that it could ever load reads YAML, or judges keys."""
    arrows = _arrows()
    for module, targets in arrows.items():  # whoever imports a file runs its packages, too
        targets |= {package for name in (module, *targets) if (package := name.rpartition(".")[0]) in arrows}
    reached = _reach(arrows, "mta.app.worker")
    assert {"mta.app", "mta.contract.handed"} <= reached
    judges = {name for name in reached if f"{name}.".startswith(("mta.config.", "mta.importers."))}
    assert judges <= {"mta.config", "mta.config.problems"}, judges  # how a problem is written down, no more


@pytest.mark.parametrize("path", [p for p in _files() if _floor(p) == "rfc"], ids=lambda p: str(p.relative_to(ROOT)))
def test_standards_know_little_of_each_other(path: Path) -> None:
    """Inside rfc only the named concepts use another."""
    concept = path.relative_to(ROOT / "rfc").parts[0]
    for name in _imports(ast.parse(path.read_text())):
        parts = name.split(".")
        if parts[:2] == ["mta", "rfc"] and len(parts) > 2 and parts[2] != concept:
            assert parts[2] in RFC_MAY_IMPORT.get(concept, set()), f"{concept} must not import {name}"


@pytest.mark.parametrize("path", [p for p in _files() if _floor(p) in PURE], ids=lambda p: str(p.relative_to(ROOT)))
def test_pure_floors_do_nothing(path: Path) -> None:
    """No coroutine, socket, clock, randomness or file on the floors that decide and know."""
    tree = ast.parse(path.read_text())
    is_look_up = path.name == "check.py" and _floor(path) == "rfc"
    for node in ast.walk(tree):
        assert is_look_up or not isinstance(node, ast.AsyncFunctionDef), f"async def {getattr(node, 'name', '')}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "open", "open()"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in CLOCKS, f"{node.value.id}.{node.attr}"
    for name in _imports(tree):
        if is_look_up and name == "asyncio":
            continue  # for gather: look-ups run side by side
        assert name.split(".")[0] not in FORBIDDEN_MODULES, f"{path.name} imports {name}"


@pytest.mark.parametrize("path", [p for p in _files() if _floor(p) == "model"], ids=lambda p: str(p.relative_to(ROOT)))
def test_model_needs_the_standard_library_only(path: Path) -> None:
    """The facts depend on nobody."""
    for name in _imports(ast.parse(path.read_text())):
        assert name.split(".")[0] in {
            "__future__",
            "collections",
            "dataclasses",
            "enum",
            "functools",
            "ipaddress",
            "typing",
            "mta",
        }, name
