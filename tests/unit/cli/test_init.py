"""A first configuration: whatever is answered, the file that is written is good, or nothing is."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.cli.init import Answers, FirstFile, compose, init
from mta.config.load import load, load_text
from mta.errors import UsageError

ANSWERS = Answers(
    "mx.contoso.example", ("contoso.example", "bücher.example"), "10.0.0.25:25", ("10.0.0.0/8",), "fabrikam.example"
)


def test_five_answers_make_a_configuration_that_is_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "connectors.yaml"
    assert init(ANSWERS, FirstFile(str(path))) == 0
    known = load(str(path), now=0.0, cpus=1)
    assert set(known.connectors) == {"internal", "fabrikam-example", "default"}
    assert len(known.domains) == 2
    assert known.server.hostname == "mx.contoso.example"
    assert "mta check" in capsys.readouterr().out


def test_without_a_partner_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "connectors.yaml"
    init(replace(ANSWERS, partner="", networks=()), FirstFile(str(path)))
    assert set(load(str(path), now=0.0, cpus=1).connectors) == {"internal", "default"}


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    path = tmp_path / "connectors.yaml"
    path.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        init(ANSWERS, FirstFile(str(path)))
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (replace(ANSWERS, hostname=""), "--hostname is missing, for example --hostname mx.contoso.example"),
        (replace(ANSWERS, domains=()), "--domain is missing"),
        (replace(ANSWERS, deliver_to=""), "--deliver-to is missing"),
        (replace(ANSWERS, hostname="not a name"), "--hostname: "),
        (replace(ANSWERS, domains=("a.example", "b..example")), "--domain: "),
        (replace(ANSWERS, networks=("10.0.0.0/99",)), "--network: "),
        (replace(ANSWERS, partner="a@b.example"), "--partner: "),
        (replace(ANSWERS, deliver_to='x", evil: "y'), "--deliver-to: "),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_nothing_is_written(tmp_path: Path, changed: Answers, words: str) -> None:
    with pytest.raises(UsageError) as told:
        init(changed, FirstFile(str(tmp_path / "connectors.yaml")))
    assert str(told.value).startswith(words)
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--certificate and --key"):
        init(ANSWERS, FirstFile(str(tmp_path / "connectors.yaml"), chain="relay.pem"))


def test_a_certificate_that_is_not_there_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"relay\.pem"):
        init(ANSWERS, FirstFile(str(tmp_path / "connectors.yaml"), chain="relay.pem", key="relay.key"))
    assert list(tmp_path.iterdir()) == []


def test_at_a_terminal_what_no_option_says_is_asked_until_it_can_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter(["no name", "mx.contoso.example", "", "contoso.example, contoso.test", "10.0.0.25", "", ""])
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return next(typed)

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", answer)
    path = tmp_path / "connectors.yaml"
    assert init(Answers(), FirstFile(str(path))) == 0
    known = load(str(path), now=0.0, cpus=1)
    assert {"contoso.example", "contoso.test"} == set(known.domains)
    assert asked[3].startswith("Your own domains (for example contoso.example)")
    assert "--hostname" in capsys.readouterr().err


_LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True).filter(lambda label: "--" not in label)
_NAMES = st.builds("{}.{}".format, _LABELS, st.sampled_from(["example", "test", "co.example"]))


@given(st.lists(_NAMES, min_size=1, max_size=3, unique=True), st.one_of(st.just(""), _NAMES))
def test_whatever_the_names_the_file_can_be_read(domains: list[str], partner: str) -> None:
    answers = replace(ANSWERS, domains=tuple(domains), partner="" if partner in domains else partner)
    load_text(compose(answers, FirstFile("connectors.yaml")), "connectors.yaml", now=0.0, cpus=1)
