"""What was seen survives, and a file that is damaged is as none."""

from __future__ import annotations

from pathlib import Path

import pytest

from mta.adapters.seen_file import NAME, read_seen, write_seen
from mta.errors import StorageError
from mta.model.seen import Seen

SEEN = {"fabrikam/mx:25": Seen(1.5, True, "", "CN=a", "CN=b", ("a", "b"), "aa", "KEY", 2.5, ("x:y",)), "b/m:25": Seen()}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert read_seen(tmp_path) == {}
    write_seen(tmp_path, SEEN)
    assert read_seen(tmp_path) == SEEN
    write_seen(tmp_path, {})
    assert read_seen(tmp_path) == {}
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"hosts": []}', '{"hosts": {"a": 1}}', '{"hosts": {"a": {"at"', "\xff"]
)
def test_a_damaged_file_is_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_bytes(text.encode("latin-1"))
    assert read_seen(tmp_path) == {}


def test_fields_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"hosts": {"a": {"at": 3, "mood": "good", "told": ["x"]}}}')
    assert read_seen(tmp_path) == {"a": Seen(at=3, told=("x",))}


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="what was seen"):
        write_seen(tmp_path / "nowhere", SEEN)
