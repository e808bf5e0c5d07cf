"""What of `certs/` can be committed, and what `make clean` leaves of it: its README, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLACED = ("README.key", "a.pem", ".hidden", "people/README.md", "dkim/s1.key", "certs/README.md")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of what decides, with files of every kind under `certs/`."""
    for name in (".gitignore", "Makefile", "certs/README.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for name in PLACED:
        (tmp_path / "certs" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "certs" / name).write_text("secret")
    return tmp_path


def test_git_takes_nothing_of_certs_but_its_readme(folder: Path) -> None:
    subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)
    subprocess.run(["git", "add", "-A", "."], cwd=folder, check=True)
    listed = subprocess.run(["git", "ls-files", "certs"], cwd=folder, check=True, capture_output=True, text=True)
    assert listed.stdout.split() == ["certs/README.md"]


def test_make_clean_leaves_the_readme(folder: Path) -> None:
    subprocess.run(["make", "clean"], cwd=folder, check=True, capture_output=True)
    assert [path.name for path in (folder / "certs").rglob("*")] == ["README.md"]


def test_make_clean_needs_no_certs(folder: Path) -> None:
    shutil.rmtree(folder / "certs")
    subprocess.run(["make", "clean"], cwd=folder, check=True, capture_output=True)
