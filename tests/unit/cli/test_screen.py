"""What is typed and what is shown: words that find nothing are told as such, and no terminal ends a command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mta.cli.screen import known_connector, known_state
from mta.errors import UsageError
from tests.support.running_mta import mta

CONFIG = """
server: {hostname: mx.contoso.example, queue: {store: "sqlite:queue"}}
connectors:
  internal: {relay: true, inbound: {networks: ["127.0.0.1/32"]}}
  bücher: {domains: [bücher.example], inbound: {identity: none}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "connectors.yaml").write_text(CONFIG)
    return tmp_path


@pytest.mark.parametrize(
    ("text", "waiting", "words"),
    [
        ("quued", True, "did you mean queued"),
        ("Held", True, "did you mean held"),
        ("delivered", True, "mta trace --status delivered"),
        ("deliverd", False, "did you mean delivered"),
        ("nonsense", False, "they are deleted, delivered"),
    ],
)
def test_a_state_that_is_none_is_told_with_the_nearest(text: str, waiting: bool, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        known_state(text, waiting=waiting)


def test_states_and_connectors_that_are_there_pass() -> None:
    for text in ("", "queued", "held"):
        known_state(text, waiting=True)
    known_state("relayed", waiting=False)
    known_connector("fabrikam", ["fabrikam"])
    known_connector("notice", ["fabrikam"])
    known_connector("", [])
    with pytest.raises(UsageError, match="did you mean fabrikam"):
        known_connector("fabricam", ["fabrikam", "default"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("queue", "list", "--connector", "bucher"), "did you mean bücher?"),
        (("queue", "list", "--status", "hold"), "did you mean held?"),
        (("queue", "delete", "--connector", "intern"), "did you mean internal?"),
        (("queue", "retry", "--status", "failed"), "what waits is queued or held"),
        (("trace", "--status", "expird"), "did you mean expired?"),
        (("probe", "internl"), "did you mean internal?"),
        (("check", "connectors.yaml"), "the configuration is named by --config connectors.yaml"),
        (("queue", "list", "--json", "true"), "--json is a switch: write it alone"),
        (("queue", "list", "--limit", "0"), "--limit"),
    ],
)
def test_what_cannot_be_meant_ends_with_what_may_be(folder: Path, words: tuple[str, ...], told: str) -> None:
    done = mta(*words, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("explain", "--from", "bert@bücher.example", "--to", "anna@bücher.example"), 1),
        (("explain", "--from", "bert@bücher.example", "--to", "nobody@ü ü"), 2),
        (("queue", "list", "--connector", "bücherx"), 2),
        (("check",), 0),
        (("--help",), 0),
        (("check", "bücher.yaml"), 2),
    ],
)
def test_a_terminal_without_our_letters_ends_nothing(folder: Path, words: tuple[str, ...], code: int) -> None:
    plain = {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    done = mta(*words, cwd=folder, env={**os.environ, **plain})
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == code, done.stderr
