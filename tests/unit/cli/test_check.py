from __future__ import annotations

import json
from pathlib import Path

import pytest

from mta.cli.check import check

GOOD = "server: {hostname: mx.contoso.example}\nconnectors: {a: {domains: [a.example], inbound: {identity: none}}}\n"
BAD = "server: {hostnam: x.example}\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "connectors.yaml"
    path.write_text(GOOD)
    return path


def test_a_good_configuration_is_counted(config: Path, capsys: pytest.CaptureFixture[str]):
    assert check(str(config), False) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{config}: good: 2 connectors, 0 domains\n"
    assert captured.err == ""


def test_each_problem_is_one_line_on_standard_error(config: Path, capsys: pytest.CaptureFixture[str]):
    config.write_text(BAD)
    assert check(str(config), False) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        f"{config}:1:1: server.hostname: this key is required",
        f"{config}:1:10: server.hostnam: unknown key (did you mean hostname?)",
    ]


def test_a_warning_does_not_fail(config: Path, capsys: pytest.CaptureFixture[str]):
    config.write_text(GOOD.replace("identity", "tls: required, identity"))
    assert check(str(config), False) == 0
    assert capsys.readouterr().err.startswith(f"warning: {config}:2:55: connectors.a.inbound.tls: without")


def test_json_holds_the_same(config: Path, capsys: pytest.CaptureFixture[str]):
    assert check(str(config), True) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "problems": [], "warnings": []}
    config.write_text(BAD)
    assert check(str(config), True) == 2
    document = json.loads(capsys.readouterr().out)
    assert not document["ok"]
    assert document["problems"][1] == {
        "file": str(config),
        "line": 1,
        "column": 10,
        "path": "server.hostnam",
        "message": "unknown key",
        "hint": "did you mean hostname?",
    }


@pytest.mark.parametrize("content", [b"\x00\xff\xfe", b"[" * 100_000, b"a: &a [*a]", b"\xef\xbb\xbf"])
def test_odd_files_end_with_a_problem(config: Path, capsys: pytest.CaptureFixture[str], content: bytes):
    config.write_bytes(content)
    assert check(str(config), False) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_odd_paths_end_with_a_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for path in (str(tmp_path), str(tmp_path / "none"), "/dev/null", "a\0b", "", "\udcff"):
        assert check(path, False) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
