"""Changes are told once, when they have come to rest, however the file was replaced."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mta.contract.watch import GONE, FileWatch, stamp, unchanged


def write(path: Path) -> None:
    path.write_text("two, longer")


def rename(path: Path) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text("one")  # of the same size
    os.replace(fresh, path)


def remove(path: Path) -> None:
    path.unlink()


def restrict(path: Path) -> None:
    path.chmod(0o600)


@pytest.mark.parametrize("change", [write, rename, remove, restrict])
def test_a_change_is_told_once_it_rests_and_once_only(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path, other = tmp_path / "a", tmp_path / "b"
    path.write_text("one")
    other.write_text("one")
    watch = FileWatch({str(file): stamp(str(file)) for file in (path, other)})
    assert watch.changed() == ()
    assert not watch.being_written
    change(path)
    assert watch.changed() == ()
    assert watch.being_written
    assert watch.changed() == (str(path),)
    watch.take({str(path): stamp(str(path))})
    assert (watch.changed(), watch.changed()) == ((), ())


def test_a_folder_that_a_symbolic_link_leads_to_is_exchanged(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "tls.crt").write_text("same")
    (tmp_path / "data").symlink_to("v1")
    path = str(tmp_path / "data" / "tls.crt")
    watch = FileWatch({path: stamp(path)})
    (tmp_path / "fresh").symlink_to("v2")
    os.replace(tmp_path / "fresh", tmp_path / "data")
    assert (watch.changed(), watch.changed()) == ((), (path,))


def test_what_still_changes_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("")
    watch = FileWatch({str(path): stamp(str(path))})
    for length in range(1, 4):
        path.write_text("x" * length)
        assert watch.changed() == ()
    assert watch.changed() == (str(path),)


def test_what_was_refused_is_tried_again_when_something_changes(tmp_path: Path) -> None:
    old, missing = tmp_path / "old", tmp_path / "missing"
    old.write_text("bad")
    watch = FileWatch({str(old): GONE})
    watch.refuse({str(missing): stamp(str(missing))})
    assert (watch.changed(), watch.changed()) == ((), ())
    missing.write_text("here it is")
    assert (watch.changed(), watch.changed()) == ((), (str(missing),))


def test_what_changed_while_it_was_read_is_seen_by_the_next_look(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    read = stamp(str(path))
    path.write_text("another")
    watch = FileWatch({})
    watch.take({str(path): read})
    assert (watch.changed(), watch.changed()) == ((), (str(path),))


def test_files_are_compared_with_what_was_read_of_them(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    known = {str(path): stamp(str(path))}
    assert unchanged(known)
    rename(path)
    assert not unchanged(known)
    assert unchanged({})
