"""No group is repeated possessively: Python before 3.11.5, Debian 12's for one, then loses its place in the text.

There `(?:\\.[a-z]++)*+@` finds `.@` (gh-106052). A single class may be repeated so.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
POSSESSIVE_GROUP = re.compile(r"\)(?:[*+?]|\{[0-9,]+\})\+")


@pytest.mark.parametrize("text", ["(?:a.)*+", "(a)++", "(a)?+", "(?:a){2,3}+"])
def test_what_is_looked_for_is_found(text: str) -> None:
    assert POSSESSIVE_GROUP.search(text)


def test_no_group_is_repeated_possessively() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "mta").rglob("*.py"))
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if POSSESSIVE_GROUP.search(line)
    ]
    assert found == []
