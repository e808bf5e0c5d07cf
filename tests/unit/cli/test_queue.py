"""What `mta queue` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mta.cli import queue as commands
from mta.cli.paint import Paint, duration, octets
from mta.cli.queue import queue, table
from mta.errors import MtaError, Unanswered, UsageError

NOW = 1_800_000_000.0


def message(id_: str = "01aaa", received: float = NOW - 90, **recipient: Any) -> dict[str, Any]:
    known = {"address": "bob@fabrikam.example", "connector": "fabrikam", "state": "queued", "due": NOW + 240}
    return {
        "id": id_,
        "sender": "alice@contoso.example",
        "size": 1234,
        "received": received,
        "inbound": "internal",
        "recipients": [{**known, "attempts": 1, "reason": "mx said 450 busy", **recipient}],
    }


def answers(monkeypatch: pytest.MonkeyPatch, document: dict[str, Any]) -> None:
    monkeypatch.setattr(commands, "parts", lambda config, request: iter([document]))


def test_a_line_tells_age_size_who_state_next_attempt_and_reason() -> None:
    heading, line = table([message()], NOW, Paint())
    assert heading.split() == ["ID", "AGE", "SIZE", "FROM", "TO", "STATE", "NEXT", "REASON"]
    expected = "01aaa 1m30s 1.2 kB alice@contoso.example bob@fabrikam.example queued in 4m mx said 450 busy"
    assert " ".join(line.split()) == expected


def test_columns_stand_below_their_headings() -> None:
    heading, *lines = table([message(), message("01longer", address="x@y.example")], NOW, Paint())
    assert {line.index("queued") for line in lines} == {heading.index("STATE")}


def test_each_waiting_recipient_has_a_line_and_a_finished_one_has_none() -> None:
    whole = message()
    whole["recipients"] += message(state="held", address="c@x.example")["recipients"]
    whole["recipients"] += message(state="delivered", address="d@x.example")["recipients"]
    lines = table([whole], NOW, Paint())
    assert len(lines) == 3
    assert "held" in lines[2]
    assert "when released" in lines[2]


def test_the_null_sender_and_a_due_message_are_named() -> None:
    line = table([{**message(due=NOW - 5, reason=""), "sender": ""}], NOW, Paint())[1]
    assert "  <>  " in line
    assert line.endswith("now   first attempt")


def test_control_characters_of_a_peer_do_not_reach_the_terminal() -> None:
    lines = table([message(reason="450 \x1b[2J\r\nfake line")], NOW, Paint())
    assert len(lines) == 2
    assert "\\x1b[2J\\x0d\\x0afake line" in lines[1]


def test_an_empty_queue_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    answers(monkeypatch, {})
    assert queue("x", {"command": "list"}, json_output=False) == 0
    assert capsys.readouterr().out == "nothing waits\n"
    assert queue("x", {"command": "list", "recipient": "bob@x.example"}, json_output=False) == 0
    assert capsys.readouterr().out == "nothing that waits matches\n"


def test_messages_of_several_shards_are_listed_oldest_first_up_to_the_limit(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(monkeypatch, {"messages": [message("b", NOW - 1), message("a", NOW - 9), message("c", NOW - 5)]})
    assert queue("x", {"command": "list", "limit": 2}, json_output=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert [found["id"] for found in document["messages"]] == ["a", "c"]
    assert document["more"] is True


def test_a_list_says_whether_there_is_more_than_it_shows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[dict[str, Any]] = []

    def some(config: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        asked.append(request)
        if request["command"] == "counts":
            yield {"states": {"queued": 7, "held": 2, "delivered": 50}}
        for number in range(int(request.get("limit", 0))):
            yield {"messages": [message(f"m{number}", NOW - number)]}

    monkeypatch.setattr(commands, "parts", some)
    assert queue("x", {"command": "list", "limit": 3}, json_output=False) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 4
    assert "the oldest 3, and there are more" in printed.err
    assert "9 recipients wait" in printed.err
    assert asked[0]["limit"] == 4


@pytest.mark.parametrize(
    ("command", "word"), [("hold", "held"), ("release", "released"), ("retry", "will be tried"), ("delete", "deleted")]
)
def test_a_change_names_what_it_changed(
    command: str, word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(monkeypatch, {"changed": ["01bbb", "01aaa"]})
    assert queue("x", {"command": command}, json_output=False) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(word)
    assert (first[-5:], second[-5:]) == ("01bbb", "01aaa")


@pytest.mark.parametrize("done", [0, 2])
def test_a_refusal_in_the_middle_says_how_far_it_came(
    done: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(config: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"changed": ["01aaa", "01bbb"][:done]}
        raise UsageError("internal error, see the log")

    monkeypatch.setattr(commands, "parts", refused)
    words = "see the log; 2 messages were held by then" if done else "see the log$"
    with pytest.raises(MtaError, match=words):
        queue("x", {"command": "hold"}, json_output=True)
    out = capsys.readouterr().out
    assert (json.loads(out) == {"changed": ["01aaa", "01bbb"]}) if done else out == ""


def test_a_person_sees_how_far_it_is_while_the_ids_go_into_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(monkeypatch, {"changed": ["01aaa", "01bbb"]})
    monkeypatch.setattr(commands, "counted", lambda config, request: (9, 0))
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert queue("x", {"command": "hold"}, json_output=False) == 0
    assert "\r2 of 9, " in capsys.readouterr().err


@pytest.mark.parametrize("json_output", [False, True])
def test_a_change_that_ends_too_soon_says_how_far_it_came(
    json_output: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(config: str, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        yield {"changed": ["01bbb", "01aaa"]}
        yield {"changed": ["01ccc"]}
        raise Unanswered("the worker said nothing")

    monkeypatch.setattr(commands, "parts", broken)
    with pytest.raises(Unanswered, match="said nothing; 3 messages were held by then, the same command goes on"):
        queue("x", {"command": "hold"}, json_output)
    out = capsys.readouterr().out
    assert (json.loads(out)["changed"] if json_output else out.split()[1::2]) == ["01bbb", "01aaa", "01ccc"]


def test_a_change_that_matched_nothing_is_told_and_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers(monkeypatch, {"changed": []})
    assert queue("x", {"command": "hold"}, json_output=True) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"changed": []}
    assert printed.err == "mta: hold: nothing matched\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (-3, "0s"), (59, "59s"), (60, "1m"), (3_900, "1h5m"), (3_605, "1h"), (90_000, "1d1h"), (86_400, "1d")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (48_000_000, "48.0 MB"), (3 * 10**9, "3.0 GB")]
)
def test_sizes_are_readable(size: int, text: str) -> None:
    assert octets(size) == text
