"""Command lines and HELO names."""

import pytest

from mta.rfc.smtp.command import Command, CommandError, parse_command, path_of, valid_helo


@pytest.mark.parametrize(
    ("line", "verb", "argument"),
    [
        (b"NOOP\r\n", "NOOP", ""),
        (b"noop", "NOOP", ""),
        (b"Quit  \r\n", "QUIT", ""),
        (b"EHLO mx.example\r\n", "EHLO", "mx.example"),
        (b"MAIL FROM:<a@b> SIZE=1 \t\r\n", "MAIL", "FROM:<a@b> SIZE=1"),
        ("MAIL FROM:<ü@b>\r\n".encode(), "MAIL", "FROM:<ü@b>"),
        (b"XYZZY1 x", "XYZZY1", "x"),
    ],
)
def test_a_command_is_a_verb_and_its_argument(line: bytes, verb: str, argument: str) -> None:
    assert parse_command(line) == Command(verb, argument)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\r\n",
        b" NOOP\r\n",
        b"1NOOP\r\n",
        b"NOOP\n",
        b"NOOP\r",
        b"NO\rOP\r\n",
        b"NO\nOP\r\n",
        b"NOOP\r\n\r\n",
        b"NOOP x\0y\r\n",
        b"NOOP x\ny\r\n",
        b"NOOP x\ry\r\n",
        b"NOOP x\n",
        b"NOOP x\r",
        b"NOOP x\x1by\r\n",
        b"NOOP x\x7f\r\n",
        b"N\xc3\xbcOP\r\n",
        b"NOOP \xff\r\n",
        b"NOOP \xed\xa0\x80\r\n",  # a surrogate in UTF-8
        b"NOOP \xc0\x80\r\n",  # NUL, too long
        b"NOOP:x\r\n",
    ],
)
def test_what_is_no_command_gets_500(line: bytes) -> None:
    with pytest.raises(CommandError) as caught:
        parse_command(line)
    assert caught.value.reply.code == 500


def test_a_line_of_the_limit_is_read_and_one_longer_is_not() -> None:
    line = b"NOOP " + b"x" * 993 + b"\r\n"
    assert len(line) == 1000
    assert parse_command(line).verb == "NOOP"
    assert parse_command(line[:-2]).verb == "NOOP"
    for longer in (line[:-2] + b"x\r\n", line[:-2] + b"x"):
        with pytest.raises(CommandError) as caught:
            parse_command(longer)
        assert caught.value.reply.enhanced == "5.5.6"
    with pytest.raises(CommandError):
        parse_command(b"NOOP 34\r\n", limit=8)


def test_the_path_stands_behind_its_keyword() -> None:
    assert path_of("FROM:<a@b>", "FROM:") == "<a@b>"
    assert path_of("to: <a@b>", "TO:") == "<a@b>"
    for argument in ("", "<a@b>", "TO:<a@b>", "FROM <a@b>"):
        with pytest.raises(CommandError) as caught:
            path_of(argument, "FROM:")
        assert caught.value.reply.code == 501


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("mx.contoso.example", True),
        ("WORKSTATION_7", True),
        ("host.", True),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("42", False),
        ("-", False),
        ("-mx.contoso.example", False),
        ("mx-.contoso.example", False),
        ("..", False),
        ("[192.0.2.1]", True),
        ("[IPv6:2001:db8::1]", True),
        (".".join(["x" * 63] * 3 + ["x" * 63]), True),
        (".".join(["x" * 63] * 4) + ".x", False),
        ("x" * 64, False),
        ("", False),
        (".", False),
        ("a..b", False),
        ("a b", False),
        ("a\nb", False),
        ("a\n", False),
        ("a\0", False),
        ("bücher.example", False),
        ("[192.0.2.256]", False),
        ("[x", False),
        ("<script>", False),
    ],
)
def test_helo_takes_domains_and_literals(text: str, good: bool) -> None:
    assert valid_helo(text) is good
