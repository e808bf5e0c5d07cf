"""One word for each thing that can be wrong: used, documented, and the only thing that decides."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.model.word import Word, first_word

ROOT = Path(__file__).parents[2]
OF_TEXT = {"startswith", "endswith", "partition", "rpartition", "split", "rsplit", "find", "index", "removeprefix"}
TEXTS = {"reason", "story"}
# Where text meets text and nothing is decided of mail by it.
PERMITTED = {
    "mta/cli/trace.py": 1,  # what stands on the screen already is not printed twice
}


def sources() -> dict[str, ast.Module]:
    return {
        path.relative_to(ROOT).as_posix(): ast.parse(text)
        for path in sorted((ROOT / "mta").rglob("*.py"))
        if any(name in (text := path.read_text("utf-8")) for name in (*TEXTS, "Word."))
    }


SOURCES = sources()


def is_told_text(node: ast.expr) -> bool:
    """`x.reason`, `x["reason"]` or `x.get("reason")`, whatever x is."""
    match node:
        case ast.Attribute(attr=name):
            return name in TEXTS
        case ast.Subscript(slice=ast.Constant(value=str(name))):
            return name in TEXTS
        case ast.Call(func=ast.Attribute(attr="get"), args=[ast.Constant(value=str(name)), *_]):
            return name in TEXTS
        case ast.Call(func=ast.Name(id="str"), args=[inner]):
            return is_told_text(inner)
    return False


def decided_by_text(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, comparators=others) if any(map(is_told_text, (left, *others))):
                yield node.lineno
            case ast.Call(func=ast.Attribute(attr=name, value=of)) if name in OF_TEXT and is_told_text(of):
                yield node.lineno
            case ast.Match(subject=subject) if is_told_text(subject):
                yield node.lineno


@pytest.mark.parametrize(
    ("code", "caught"),
    [
        ("failure.reason.startswith('tls')", True),
        ("state.reason.partition(':')[0]", True),
        ("str(told.get('reason')).split()", True),
        ("if 'x' in failure.story: pass", True),
        ("failure['reason'] == 'x'", True),
        ("failure.word is Word.DNS", False),
        ("text = failure.reason or ''", False),
    ],
)
def test_what_is_caught(code: str, caught: bool) -> None:
    assert bool(list(decided_by_text(ast.parse(code)))) is caught


def test_nothing_is_decided_by_text_that_is_told() -> None:
    found = {name: len(lines) for name, tree in SOURCES.items() if (lines := list(decided_by_text(tree)))}
    assert found == PERMITTED


def test_every_word_is_said_somewhere() -> None:
    used = {
        node.attr
        for name, tree in SOURCES.items()
        if name != "mta/model/word.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Word"
    }
    assert used == {word.name for word in Word}


def test_every_word_is_documented() -> None:
    lines = (ROOT / "docs" / "operations.md").read_text("utf-8").splitlines()
    assert [line for line in lines if line in {row(word) for word in Word}] == [row(word) for word in Word]


def row(word: Word) -> str:
    return f"| `{word}` | {word.meaning} |"


def test_a_word_has_one_meaning_in_one_sentence() -> None:
    assert len({word.meaning for word in Word}) == len(Word)
    assert all(word.meaning.endswith(".") and ": " not in word for word in Word)


@pytest.mark.parametrize(
    ("reason", "word"),
    [("connect: nobody", "connect"), ("mx.b.example[192.0.2.1]:25: dns: x", ""), ("", ""), ("250 ok", "")],
)
def test_the_word_of_a_reason_of_an_earlier_version(reason: str, word: str) -> None:
    assert first_word(reason) == word
