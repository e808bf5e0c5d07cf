"""Who a message says it is from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.model.author import FromField
from mta.model.message import HeaderBlock
from mta.rfc.mime.from_ import parse_from
from mta.rfc.mime.header import scan_header
from tests.support.effort import steps


def read(*values: str | bytes, limit: int = 1000, slow: bool = False) -> FromField:
    raw = b"".join(
        b"From: " + (value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")) + b"\r\n"
        for value in values
    )
    return parse_from(scan_header(raw + b"\r\n", 10_000_000), limit, slow=slow)


@pytest.mark.parametrize(
    ("value", "author"),
    [
        ("a@b.example", "a@b.example"),
        ("Ann <a@b.example>", "a@b.example"),
        ("<a@b.example>", "a@b.example"),
        ("Ann<a@b.example>", "a@b.example"),
        ('"Lee, Ann" <a@B.example>', "a@B.example"),
        ('"ceo@fabrikam.example" <a@b.example>', "a@b.example"),
        ('"<ceo@fabrikam.example>" <a@b.example>', "a@b.example"),
        ('"a \\" b" <a@b.example>', "a@b.example"),
        ("Dr. Ann B. Lee <a@b.example>", "a@b.example"),
        ("Ann..Lee <a@b.example>", "a@b.example"),
        ("=?utf-8?q?Ann?= <a@b.example>", "a@b.example"),
        ("=?utf-8?q?ceo=40fabrikam=2Eexample?= <a@b.example>", "a@b.example"),
        ("=?x=@b.example", "=?x=@b.example"),
        ("Jürgen <a@b.example>", "a@b.example"),
        (b"J\xfcrgen <a@b.example>", "a@b.example"),
        ("ü@bücher.example", "ü@bücher.example"),
        ("(hello) Ann (comment (nested) \\) still) <a@b.example> (end)", "a@b.example"),
        ("(ceo@fabrikam.example) a@b.example", "a@b.example"),
        ("a (x) @ (y) b.example", "a@b.example"),
        ("Ann\r\n\t<a@b.example>", "a@b.example"),
        ('"Ann\r\n Lee"\r\n <a@b.example>', "a@b.example"),
        ('"a b"@c.example', '"a b"@c.example'),
        ("a@[192.0.2.1]", "a@[192.0.2.1]"),
        ("Ann <a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]"),
        ("Team: a@b.example;", "a@b.example"),
        ("a@my_host.example", "a@my_host.example"),
        ("  a@b.example\t", "a@b.example"),
    ],
)
def test_one_author_is_read(value: str | bytes, author: str) -> None:
    for slow in (False, True):
        found = read(value, slow=slow)
        assert (found.error, [str(mailbox) for mailbox in found.authors], found.count) == ("", [author], 1)
        assert not found.ambiguous


@pytest.mark.parametrize(
    ("value", "authors"),
    [
        ("a@b, c@d", ["a@b", "c@d"]),
        ("Ann <a@b>, Bob <c@d>", ["a@b", "c@d"]),
        ("Team: Ann <a@b>, c@d;", ["a@b", "c@d"]),
        ("e@f, Team: Ann <a@b>, c@d;, g@h", ["e@f", "a@b", "c@d", "g@h"]),
    ],
)
def test_several_authors_are_ambiguous(value: str, authors: list[str]) -> None:
    found = read(value)
    assert found.error == ""
    assert [str(mailbox) for mailbox in found.authors] == authors
    assert found.ambiguous


@pytest.mark.parametrize(
    "value",
    [
        "",
        "   ",
        "Ann",
        "Ann Lee",
        "()",
        "<>",
        "Ann <>",
        "<a>",
        "<@b>",
        "a@",
        "@b",
        "a b@c",
        "a@b c",
        "a@b@c",
        "<a@b",
        "a@b>",
        "<a@b>>",
        "<<a@b>>",
        "<a@b> <c@d>",
        "<a@b> Ann",
        "a@b <c@d>",
        "a@b c@d",
        ", a@b",
        "a@b,",
        "a@b,, c@d",
        "a@b; c@d",
        ".Ann <a@b>",
        "a..b@c",
        ".a@b",
        "a.@b",
        "a . b@c",
        "a@b.",
        "a@b..c",
        "a@-b",
        "a@1.2.3.4",
        "a@[x]",
        "a@[192.0.2.1",
        "<@route:a@b>",
        '"Ann <a@b>',
        '"a"b@c',
        '"a\tb"@c',
        "Ann (comment <a@b>",
        "Ann ) <a@b>",
        "Ann \\<a@b>",
        "Team:",
        "Team:;",
        "Team: a@b",
        "Team: Other: a@b;;",
        ": a@b;",
        "a@b\0",
        "Ann\0 <a@b>",
        '"Ann\0" <a@b>',
        "(\x1b) a@b",
        '"Ann\rLee" <a@b>',
        "a@b\x1b",
        "a\rb@c",
        b"\xff@b",
        b"a@\xff",
        "a@\u0085",
        "a\u2028@b",
        "=?utf-8?q?a?= =?utf-8?q?b?=@c",
        "a@=?utf-8?q?b?=",
        "=?utf-8?q?ceo?=@b.example",
        "Ann <=?utf-8?q?ceo=40c.example=3E?=@b.example>",
        "Ann [x] <a@b>",
    ],
)
def test_anything_else_is_an_error_with_words(value: str | bytes) -> None:
    for slow in (False, True):
        found = read(value, slow=slow)
        assert found.error
        assert found.ambiguous
        assert found.count == 1


def test_several_from_fields_are_all_read_and_counted() -> None:
    found = read("a@b", "Ann", "c@d")
    assert [str(mailbox) for mailbox in found.authors] == ["a@b", "c@d"]
    assert found.count == 3
    assert found.error
    assert read("a@b", "a@b").ambiguous


def test_a_message_without_from_names_nobody() -> None:
    assert parse_from(scan_header(b"To: a@b\r\n\r\n", 100), 10) == FromField()


@pytest.mark.parametrize("value", ["Ann B. Lee <a@b.example>", "(c) Ann (d) <a@b>", '"x" y <a@b.example>'])
def test_as_many_tokens_as_the_limit_are_read_and_no_more(value: str) -> None:
    enough = next(limit for limit in range(20) if "more than" not in read(value, limit=limit, slow=True).error)
    assert enough >= 5
    assert "more than" not in read(value, limit=enough).error
    assert "more than" in read(value, limit=enough - 1).error


def test_the_limit_holds_for_all_from_fields_together() -> None:
    assert read("a@b", "c@d", limit=6).error == ""
    assert "more than" in read("a@b", "c@d", limit=5).error


TOKENS = ["a", "B.c", "@", "<", ">", '"q r"', '"', ".", ",", " ", "\t", ":", ";", "(", ")", "x.example", "ü", "\\", "-"]


@given(st.lists(st.sampled_from(TOKENS), max_size=10).map("".join))
def test_the_short_way_finds_what_the_long_way_finds(value: str) -> None:
    assert read(value) == read(value, slow=True)


@given(
    st.sampled_from(["", "Ann ", "A. B ", '"A, B" ', "\t", " Ann\r\n "]),
    st.text("ab.-_=?", max_size=6),
    st.text("ab.-_1", max_size=6),
)
def test_the_short_way_agrees_on_what_looks_common(name: str, local: str, domain: str) -> None:
    for value in (f"{name}<{local}@{domain}>", f"{local}@{domain}"):
        assert read(value) == read(value, slow=True)


@pytest.mark.parametrize("unseen", ["\ufeff", "\u200b", "\u2060", "\u00ad", "\u202e", "\u00a0", "\u3000", "\u2028"])
def test_what_nobody_sees_in_an_address_is_an_error(unseen: str) -> None:
    """Readers take some of it for white space, and show what stands before or behind it."""
    for value in (f"boss@b.example{unseen}.evil.example", f"x{unseen}boss@b.example", f"Ann <{unseen}boss@b.example>"):
        assert read(value).ambiguous
    assert read(f"Ann{unseen}Lee <a@b.example>").authors


@pytest.mark.parametrize("value", ["a@b, " * 300 + ")", "a@b, " * 300 + "c@d", "x " * 900 + "@"])
def test_fields_beyond_the_limit_cost_nothing(value: str) -> None:
    """One that ends in an error counts like any other, and nothing behind the limit is read or kept."""
    few, many = scan(value, 4), scan(value, 400)
    assert steps(lambda: parse_from(many, 1000)) < 1.5 * steps(lambda: parse_from(few, 1000))
    assert len(parse_from(many, 1000).authors) <= 1000


def scan(value: str, times: int) -> HeaderBlock:
    raw = f"From: {value}\r\n".encode() * times + b"\r\n"
    return scan_header(raw, len(raw))
