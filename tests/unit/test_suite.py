"""What the suite itself promises: a setup that a module shares happens once, however many processes run the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.patience import patient

_CONFTEST = Path(__file__).parents[1] / "conftest.py"
_MODULE = """
import os, pathlib, pytest

@pytest.fixture(scope="module")
def shared():
    with open(pathlib.Path(__file__).with_name("setups"), "a") as file:
        file.write(f"{os.getpid()}\\n")

@pytest.mark.parametrize("number", range(12))
def test_one_of_many(shared, number):
    pass
"""


def test_what_a_module_shares_is_set_up_once(tmp_path: Path) -> None:
    (tmp_path / "test_shared.py").write_text(_MODULE)
    (tmp_path / "conftest.py").write_text(_CONFTEST.read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\ntimeout = 60\nasyncio_default_fixture_loop_scope = function\n")
    command = (sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider", ".")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=patient(60), check=False)
    assert "12 passed" in done.stdout, done.stdout + done.stderr
    assert len((tmp_path / "setups").read_text().split()) == 1
