"""The files of counts and reports: private, bounded, and never in the way."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.adapters.report_spool import Bounds, FileReportSpool
from mta.errors import StorageError, StorageFull

DAY = "2026-11-24"


def test_counts_of_several_writers_are_read_together_and_forgotten_together(tmp_path: Path) -> None:
    spool = FileReportSpool(tmp_path / "reports")
    assert spool.days() == ()
    spool.add_counts(DAY, "worker-00", b"1\n2\n")
    spool.add_counts(DAY, "worker-00", b"3\n")
    spool.add_counts(DAY, "worker-01", b"4\n")
    spool.add_counts("2026-11-25", "worker-00", b"5\n")
    assert [line.strip() for line in spool.counts(DAY) if line.strip()] == [b"1", b"2", b"3", b"4"]
    assert spool.days() == (DAY, "2026-11-25")
    spool.forget_counts(DAY)
    assert spool.days() == ("2026-11-25",)


def test_a_torn_line_does_not_reach_into_the_next(tmp_path: Path) -> None:
    spool = FileReportSpool(tmp_path)
    spool.add_counts(DAY, "w", b"1\n2")
    spool.add_counts(DAY, "w", b"3\n")
    assert list(spool.counts(DAY)) == [b"1\n", b"2\n", b"3\n"]


def test_counts_are_bounded_and_all_or_nothing(tmp_path: Path) -> None:
    spool = FileReportSpool(tmp_path, Bounds(counts=10))
    spool.add_counts(DAY, "w", b"12345\n")
    with pytest.raises(StorageFull):
        spool.add_counts(DAY, "w", b"67890\n")
    assert list(spool.counts(DAY)) == [b"12345\n"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "counts").mkdir()
    (tmp_path / "counts" / f"{DAY}.w.jsonl").symlink_to("/dev/full")
    with pytest.raises(StorageFull):
        FileReportSpool(tmp_path).add_counts(DAY, "w", b"1\n")


def test_files_are_replaced_private_and_counted(tmp_path: Path) -> None:
    spool = FileReportSpool(tmp_path / "reports", Bounds(files=2))
    spool.put("sent", DAY, "a.json", b"1")
    spool.put("sent", DAY, "a.json", b"2")
    spool.put("sent", DAY, "b.json", b"3")
    with pytest.raises(StorageFull):
        spool.put("sent", DAY, "c.json", b"4")
    assert spool.get("sent", DAY, "a.json") == b"2"
    assert spool.names("sent") == ((DAY, "a.json"), (DAY, "b.json"))
    assert spool.names("received") == ()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "reports").rglob("*")}
    assert modes == {0o700, 0o600}


def test_a_shelf_has_an_end_until_something_is_forgotten(tmp_path: Path) -> None:
    FileReportSpool(tmp_path).put("received", DAY, "a.json", b"1" * 60)
    spool = FileReportSpool(tmp_path, Bounds(shelf=5000))
    with pytest.raises(StorageFull, match="no more are kept"):
        spool.put("received", "2026-11-25", "b.json", b"2" * 5000)
    spool.put("sent", DAY, "a.json", b"3")  # another shelf
    spool.purge("2026-11-25")
    spool.put("received", "2026-11-25", "b.json", b"2" * 100)


def test_the_last_of_the_disk_is_for_mail(tmp_path: Path) -> None:
    spool = FileReportSpool(tmp_path, Bounds(free=1 << 60))
    for write in (lambda: spool.put("sent", DAY, "a", b""), lambda: spool.add_counts(DAY, "w", b"1\n")):
        with pytest.raises(StorageFull, match="are free"):
            write()
    assert spool.names("sent") == ()


def test_old_days_are_forgotten(tmp_path: Path) -> None:
    spool = FileReportSpool(tmp_path)
    for day in ("2026-11-23", DAY):
        spool.put("received", day, "a.json", b"1")
        spool.add_counts(day, "w", b"1\n")
    spool.purge(DAY)
    assert spool.names("received") == ((DAY, "a.json"),)
    assert spool.days() == (DAY,)


@pytest.mark.parametrize("name", ["../a", "a/b", ".a", "", "a\0", "ä", "a" * 300])
def test_a_name_never_leaves_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError):
        FileReportSpool(tmp_path).put("sent", DAY, name, b"")
    with pytest.raises(StorageError):
        FileReportSpool(tmp_path).put("sent", f"{DAY}/..", "a", b"")
    with pytest.raises(StorageError):
        FileReportSpool(tmp_path).get("../sent", DAY, "a")


def test_a_file_that_goes_while_the_shelf_is_counted_is_counted_as_nothing(tmp_path: Path, vanishing: set[str]) -> None:
    """What another thread writes has a name for a moment only."""
    FileReportSpool(tmp_path).put("sent", DAY, "before", b"1234567")
    (tmp_path / "sent" / DAY / ".going.1.2").write_bytes(b"12")
    vanishing.add(".going.1.2")
    spool = FileReportSpool(tmp_path, Bounds(shelf=10))
    spool.put("sent", DAY, "a", b"123")
    with pytest.raises(StorageFull):
        spool.put("sent", DAY, "b", b"1")


def test_a_day_that_is_forgotten_while_the_shelf_is_read_has_no_files(tmp_path: Path, vanishing: set[str]) -> None:
    spool = FileReportSpool(tmp_path)
    spool.put("sent", DAY, "a", b"1")
    spool.put("sent", "2026-11-25", "b", b"2")
    vanishing.add(DAY)
    assert spool.names("sent") == (("2026-11-25", "b"),)


def test_a_file_in_place_of_the_folder_is_a_shelf_without_files(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("no folder")
    spool = FileReportSpool(tmp_path / "reports")
    assert (spool.names("sent"), spool.days()) == ((), ())
    with pytest.raises(StorageError, match=r"File exists|Not a directory"):
        spool.put("sent", DAY, "a", b"1")


@pytest.fixture
def vanishing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names that a folder's list still has, and that are gone when they are asked about."""
    names: set[str] = set()
    real_stat, real_iterdir = Path.stat, Path.iterdir

    def asked(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        if path.name in names and not os.path.isdir(path):
            raise FileNotFoundError(2, os.strerror(2), str(path))
        return real_stat(path, follow_symlinks=follow_symlinks)

    def listed(path: Path) -> Iterator[Path]:
        if path.name in names:
            raise FileNotFoundError(2, os.strerror(2), str(path))
        return real_iterdir(path)

    monkeypatch.setattr(Path, "stat", asked)
    monkeypatch.setattr(Path, "iterdir", listed)
    return names
