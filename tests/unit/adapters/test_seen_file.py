"""What was seen survives, and a file that is damaged is as none."""

from __future__ import annotations

from pathlib import Path

import pytest

from mta.adapters.seen_file import NAME, SeenFile
from mta.errors import StorageError
from mta.model.seen import Memory, Seen

HOSTS = {
    "fabrikam/mx:25": Seen(1.5, True, "", "CN=a", "CN=b", ("a", "b"), "aa", "KEY", 2.5, ("x:y",)),
    "b/m:25": Seen(),
}
MEMORY = Memory(7.5, HOSTS, ("ab", "cd"))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    store = SeenFile(tmp_path)
    assert store.read() == Memory()
    store.write(MEMORY)
    assert SeenFile(tmp_path).read() == MEMORY
    store.write(Memory())
    assert store.read() == Memory()
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"hosts": []}', '{"hosts": {"a": 1}}', '{"hosts": {"a": {"at"', "\xff"]
)
def test_a_damaged_file_is_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_bytes(text.encode("latin-1"))
    assert SeenFile(tmp_path).read() == Memory()


def test_fields_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"hosts": {"a": {"at": 3, "mood": "good", "told": ["x"]}}, "more": 1}')
    assert SeenFile(tmp_path).read() == Memory(hosts={"a": Seen(at=3, told=("x",))})


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="what was seen"):
        SeenFile(tmp_path / "nowhere").write(MEMORY)
