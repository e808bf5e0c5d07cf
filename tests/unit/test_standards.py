"""docs/standards.md and the citations in the code tell the same story."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_CITATION = re.compile(r"\bRFC (\d{3,5})\b")
_ROW = re.compile(r"^\|\s*(\d{3,5})\s*\|\s*[^|]+\|\s*(yes|partial|no)\s*\|\s*([^|]*)\|", re.M)


def _rows() -> dict[str, tuple[str, str]]:
    text = (ROOT / "docs" / "standards.md").read_text()
    return {number: (state, files) for number, state, files in _ROW.findall(text)}


def _cited() -> dict[str, set[str]]:
    cited: dict[str, set[str]] = {}
    for path in (ROOT / "mta").rglob("*.py"):
        for number in _CITATION.findall(path.read_text()):
            cited.setdefault(number, set()).add(str(path.relative_to(ROOT)))
    return cited


def test_every_cited_standard_is_listed() -> None:
    missing = {number: sorted(files) for number, files in _cited().items() if number not in _rows()}
    assert not missing, f"add to docs/standards.md: {missing}"


def test_every_standard_that_is_kept_is_cited_in_the_file_it_names() -> None:
    cited = _cited()
    for number, (state, files) in _rows().items():
        if state == "no":
            continue
        named = set(re.findall(r"`([^`]+)`", files))
        assert named, f"RFC {number}: name the file"
        for name in named:
            assert any(path == name or path.startswith(f"{name}/") for path in cited.get(number, set())), (
                f"RFC {number} is said to be kept in {name}, which does not cite it"
            )
