"""Commands of mta as people give them, in this process.

done(folder, "keys", "root", "list", "--json")     # what it printed; it must have succeeded
mta(folder, "open", "x.tdf").returncode            # whatever came of it
"""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mta.cli.main import main


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


def mta(folder: Path, *words: str) -> Ended:
    """A command in this process: starting an interpreter for each costs more than all the rest."""
    out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    code = 0
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(sys, "argv", ["mta", *words])
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
    told = [stream.buffer.getvalue().decode() for stream in (out, err)]  # type: ignore[attr-defined]
    return Ended(code, *told)


def done(folder: Path, *words: str) -> str:
    """What a command that must succeed has printed."""
    result = mta(folder, *words)
    assert result.returncode == 0, result.stderr
    assert "Traceback" not in result.stderr
    return result.stdout
