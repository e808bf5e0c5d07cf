"""What the zygote forks is what `python -m mta` would be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE, patient
from tests.support.running_mta import mta, until
from tests.support.zygote import spawn

COMMANDS = [
    ("--version",),
    ("serve", "--config", "no.yaml"),
    ("nonsense",),
    ("worker",),
    ("check", "--config", "no.yaml", "--json"),
]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_says_and_ends_as_the_true_one_does(words: tuple[str, ...], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mta", *words]
    true = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=patient(60),
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    forked = mta(*words, cwd=tmp_path)
    assert (forked.returncode, forked.stdout, forked.stderr) == (true.returncode, true.stdout, true.stderr)


def test_it_has_the_descriptors_the_folder_and_the_environment_it_was_given(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    environment = {**os.environ, "MTA_TEST": "given"}
    process = spawn(["worker"], (reads, writes, writes), env=environment, cwd=tmp_path)  # it waits for its orders
    here = Path(f"/proc/{process.pid}")
    ours = {f"pipe:[{os.fstat(reads).st_ino}]"}
    until(lambda: {os.readlink(here / "fd" / number) for number in ("0", "1", "2")} == ours)
    until(lambda: os.readlink(here / "cwd") == str(tmp_path))
    assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    assert process.wait(PATIENCE) == -signal.SIGKILL
    os.close(reads)
    os.close(writes)


def test_an_interpreter_of_another_shape_is_a_true_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONWARNINGS", "nonsense::")
    assert "Invalid -W option" in mta("--version").stderr
