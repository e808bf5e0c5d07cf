from __future__ import annotations

import time

import pytest

from mta.config.marks import MAX_ALIASED, MAX_DEPTH, parse
from tests.support.patience import cpu


def read(text: str):
    document = parse(text, "c.yaml")
    assert document.problems == []
    return document


def told(text: str) -> list[tuple[int, int, str]]:
    return [(p.line, p.col, p.message) for p in parse(text, "c.yaml").problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("On", "On"),
        ("12", 12),
        ("-3", -3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("022", "022"),
        ("0x1f", "0x1f"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2026-11-01", "2026-11-01"),
        ("2026-11-01 10:00:00", "2026-11-01 10:00:00"),
        ("'true'", "true"),
        ('"12"', "12"),
        ("!!str 12", "12"),
        ("=", "="),
        ("9" * 30, "9" * 30),
        (".inf", ".inf"),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object):
    found = read(f"a: {text}").data["a"]
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("no", "boolean"),
        ("YES", "boolean"),
        ("off", "boolean"),
        ("1:30", "number"),
        ("022", "number"),
        ("0o7", "number"),
    ],
)
def test_what_yaml_1_1_reads_otherwise_is_a_doubt_unless_quoted(text: str, kind: str):
    assert read(f"a: [{text}]").doubts[("a", 0)].kind == kind
    assert read(f"a: ['{text}']").doubts == {}


def test_every_value_and_key_keeps_its_place():
    marks = read("a:\n  b: [x, {c: y}]\n  d: |\n    text\n").marks
    assert marks.at(("a", "b", 0)) == (2, 7)
    assert marks.at(("a", "b", 1, "c")) == (2, 14)
    assert marks.key(("a", "b", 1, "c")) == (2, 11)
    assert marks.at(("a", "b")) == (2, 3)  # a list is shown by its key
    assert marks.at(("a", "b", 1, "missing")) == (2, 10)  # what is not there: by what is around it
    assert marks.at(()) == (1, 1)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3", (3, 1, "this key is given twice")),
        ("a: {b: 1, b: {b: 2}}", (1, 11, "this key is given twice")),
        (
            "a: !!python/object:os.system x",
            (1, 4, "the tag tag:yaml.org,2002:python/object:os.system has no meaning here"),
        ),
        ("a:\n  b:\n", (2, 3, "there is no value here")),
        ("a: [x, ~]", (1, 8, "there is no value here")),
        ("? [a]\n: 1", (1, 3, "a key must be a word, not an object or a list")),
        ("a: &x 1\n? *x\n: 2", (2, 3, "a key must be a word, not an alias")),
        ("a: *x", (1, 4, "no anchor &x stands before this alias")),
        ("a: &x [*x]", (1, 8, "no anchor &x stands before this alias")),
        ("a: 1\n---\nb: 2", (2, 1, "a second YAML document begins here")),
        ("a: 1\nb: \x01", (2, 4, "the character U+0001 may not stand in YAML")),
        ("[" * 10_000, (1, MAX_DEPTH + 1, f"nested more than {MAX_DEPTH} levels deep")),
    ],
)
def test_what_cannot_be_is_reported_at_its_place(text: str, problem: tuple[int, int, str]):
    assert told(text) == [problem]


@pytest.mark.parametrize(("text", "line"), [("a: [1,\nb: }", 2), ("a: 'x\n\n", 3), ("a: 1\n\tb: 2", 2), ("a: b: c", 1)])
def test_a_syntax_error_is_reported_at_its_line(text: str, line: int):
    [(seen, _, message)] = told(text)
    assert seen == line
    assert message.startswith("not YAML: ")


def test_the_first_of_two_equal_keys_holds():
    assert parse("a: 1\na: 2", "c.yaml").data == {"a": 1}


def test_an_alias_stands_for_the_same_value_and_is_its_place():
    document = read("a: &x {b: [1]}\nc: *x")
    assert document.data == {"a": {"b": [1]}, "c": {"b": [1]}}
    assert document.marks.at(("c", "b", 0)) == (2, 4)


def test_aliases_of_aliases_do_not_multiply_without_end():
    levels = "".join(f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 10)}]\n" for i in range(1, 12))
    started = time.process_time()
    [(line, _, message)] = told("b0: &b0 [1, 2, 3]\n" + levels)
    assert (line, message) == (6, "aliases stand for too much")
    assert MAX_ALIASED == 50_000
    assert time.process_time() - started < cpu(2)


def test_an_empty_text_has_no_data_and_no_problem():
    assert read("").data is None
    assert read("# nothing\n").data is None
