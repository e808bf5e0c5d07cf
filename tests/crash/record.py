"""Run a workload under strace: every octet it wrote, in order."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.crash.calls import KNOWN, UNKNOWN, Call, calls_in
from tests.crash.disk import Recording, record_of
from tests.crash.workloads import prepare
from tests.support.patience import patient
from tests.support.programs import find

QUEUE = "q"  # the folder of the queue below the root
LONGEST = 1_000_000  # octets of a call that are shown


def record(workload: str, root: Path, inject: Sequence[str] = ()) -> Recording:
    """What `workload` does to the queue in `root`. `inject`: rules of strace's for faults."""
    prepare(workload, root / QUEUE)
    return recorded(child_of(workload, root), root, inject)


def child_of(workload: str, root: Path) -> list[str]:
    """The command that runs a workload."""
    return [sys.executable, "-m", "tests.crash.workloads", workload, str(root / QUEUE)]


def recorded(command: list[str], root: Path, inject: Sequence[str] = ()) -> Recording:
    """What a command does below `root`, with the lines of its standard output as acknowledgements."""
    before = files_below(root)
    return record_of(root, before, traced(command, root.with_name(f"{root.name}.strace"), inject))


def traced(command: list[str], log: Path, inject: Sequence[str] = ()) -> list[Call]:
    """What a command calls. `inject`: it may fail."""
    rules = [word for rule in inject for word in ("-e", f"inject={rule}")]
    strace = [find("strace") or "strace", "-f", "-y", "-xx", "-s", str(LONGEST), "-o", str(log)]
    done = subprocess.run(
        [*strace, "-e", f"trace={KNOWN},{UNKNOWN}", *rules, *command], capture_output=True, timeout=patient(60)
    )
    if not inject and done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.decode()[-2000:]}")
    text = log.read_text("latin-1")
    log.unlink()
    return calls_in(text)


def files_below(root: Path) -> dict[str, bytes | None]:
    """Files with their octets, and folders (None), by their place."""
    return {str(p.relative_to(root)): None if p.is_dir() else p.read_bytes() for p in root.rglob("*")}


def write_below(root: Path, tree: dict[str, bytes | None]) -> None:
    """Make such files."""
    for place, octets in tree.items():
        if octets is None:
            (root / place).mkdir()
        else:
            (root / place).write_bytes(octets)
