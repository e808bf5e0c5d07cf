"""Policies on the disk: they come back as they were, and damage is as if they were not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from mta.adapters.policy_files import PolicyFiles
from mta.model.sts import StsAnswer, StsPolicy
from mta.ports import KeptPolicy

POLICY = StsPolicy("enforce", ("mx.b.example", "*.c.example"), 600)
KEPT = KeptPolicy("b.example", StsAnswer(POLICY, "7", expires=1700.5), 1000.0)


def test_what_is_written_is_read_by_another(tmp_path: Path) -> None:
    PolicyFiles(tmp_path / "new").write(KEPT)
    assert PolicyFiles(tmp_path / "new").read("b.example") == KEPT
    assert list(PolicyFiles(tmp_path / "new").all()) == [KEPT]
    assert PolicyFiles(tmp_path / "new").read("c.example") is None
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_the_last_one_counts_and_can_be_forgotten(tmp_path: Path) -> None:
    files = PolicyFiles(tmp_path)
    files.write(KEPT)
    later = KeptPolicy("b.example", StsAnswer(StsPolicy("none", (), 60), "8", expires=1.0), 2.0)
    files.write(later)
    assert files.read("b.example") == later
    files.forget("b.example")
    files.forget("b.example")
    assert files.read("b.example") is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", [b"", b"{}", b"[]", b"nonsense", b"\xff", b'{"domain": "x.example"}'])
def test_a_damaged_file_is_none(tmp_path: Path, damage: bytes) -> None:
    files = PolicyFiles(tmp_path)
    files.write(KEPT)
    [path] = tmp_path.iterdir()
    path.write_bytes(damage)
    assert files.read("b.example") is None
    assert list(files.all()) == []
    path.write_bytes(
        b'{"domain": "b.example", "id": "1", "mode": "loose", "mx": [], "max_age": 1, "expires": 1, "used": 1}'
    )
    assert files.read("b.example") is None


def test_a_disk_that_takes_nothing_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    files = PolicyFiles(tmp_path / "file")
    files.write(KEPT)
    assert files.read("b.example") is None


def test_the_longest_domain_has_a_file(tmp_path: Path) -> None:
    domain = ".".join(["x" * 61] * 4)
    files = PolicyFiles(tmp_path)
    files.write(KeptPolicy(domain, KEPT.answer, 1.0))
    assert files.read(domain) is not None


def test_who_only_looks_leaves_nothing_behind(tmp_path: Path) -> None:
    PolicyFiles(tmp_path).write(KEPT)
    looking = PolicyFiles(tmp_path, reads_only=True)
    assert looking.read("b.example") == KEPT
    looking.write(KeptPolicy("c.example", KEPT.answer, 1.0))
    looking.forget("b.example")
    assert list(PolicyFiles(tmp_path).all()) == [KEPT]
