"""A file is protected on the command line, opened by its readers, and opens no more when it is revoked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Ended, done, mta
from tests.support.patience import patient

CONFIG = """
server: {hostname: mx.contoso.example}
domains: {contoso.example: {deliver_to: ["127.0.0.1:25"]}}
protection:
  root_keys: [{id: r1, key: keys/r1.key}, {id: r2, key: keys/r2.key}]
  labels:
    confidential: {rights: do-not-forward, readers: recipients, expires: 30d}
    house: {rights: viewer, readers: internal}
"""
BOB = "bob@fabrikam.example"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "connectors.yaml").write_text(CONFIG)
    (tmp_path / "report.txt").write_bytes(b"the plan\n" * 1000)
    done(tmp_path, "keys", "root", "create", "r1")
    return tmp_path


def by_process(folder: Path, *words: str) -> Ended:
    """The same by a process of its own, as people start it."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "mta", *words]
    ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=patient(60))
    return Ended(ran.returncode, ran.stdout, ran.stderr)


def protect(folder: Path, *words: str) -> dict[str, Any]:
    told = done(folder, "protect", "report.txt", "--label", "confidential", "--to", BOB, "--json", *words)
    found: dict[str, Any] = json.loads(told)
    return found


def test_a_file_from_sealing_to_its_end(folder: Path):
    item = protect(folder)
    assert (item["label"], item["readers"], item["file"]) == ("confidential", [BOB], "report.txt.tdf")
    assert item["rights"]["VIEW"] == "enforced"
    assert item["rights"]["EDIT"] == "declared"
    assert by_process(folder, "open", "report.txt.tdf", "--as", BOB, "--out", "copy.txt").returncode == 0
    assert (folder / "copy.txt").read_bytes() == (folder / "report.txt").read_bytes()

    stranger = mta(folder, "open", "report.txt.tdf", "--as", "eve@tailspin.example", "--out", "stolen.txt")
    assert stranger.returncode == 1
    assert not (folder / "stolen.txt").exists()

    done(folder, "protected", "grant", item["item"][:8], "--reader", "eve@tailspin.example", "--right", "viewer")
    done(folder, "open", "report.txt.tdf", "--as", "eve@tailspin.example", "--out", "-")
    done(folder, "protected", "revoke", item["item"], "--reader", BOB)
    assert mta(folder, "open", "report.txt.tdf", "--as", BOB, "--out", "-").returncode == 1
    done(folder, "protected", "shred", item["item"])
    assert mta(folder, "open", "report.txt.tdf", "--as", "eve@tailspin.example", "--out", "-").returncode == 1

    [row] = json.loads(done(folder, "protected", "list", "--json"))
    assert (row["state"], row["opens"]) == ("shredded", 2)
    told = [(event["op"], event["result"]) for event in json.loads(done(folder, "log", "list", "--json"))]
    assert told == [
        ("key.create", "done"),
        ("protect", "done"),
        ("open", "permitted"),
        ("open", "refused"),
        ("grant", "done"),
        ("open", "permitted"),
        ("revoke", "done"),
        ("open", "refused"),
        ("shred", "done"),
        ("open", "refused"),
    ]
    assert json.loads(done(folder, "log", "verify", "--json"))["ok"] is True


def test_root_keys_are_rotated_held_and_released(folder: Path):
    old = protect(folder)
    assert json.loads(done(folder, "keys", "root", "create", "r2", "--json"))["state"] == "archived"
    done(folder, "keys", "root", "activate", "r2")
    new = protect(folder, "--out", "second.tdf")
    assert (old["root_key"], new["root_key"]) == ("r1", "r2")
    states = {row["id"]: row["state"] for row in json.loads(done(folder, "keys", "root", "list", "--json"))}
    assert states == {"r1": "archived", "r2": "active"}
    for file in ("report.txt.tdf", "second.tdf"):
        done(folder, "open", file, "--as", BOB, "--out", "-")
    done(folder, "keys", "root", "hold", "r1")
    assert mta(folder, "open", "report.txt.tdf", "--as", BOB, "--out", "-").returncode == 1
    done(folder, "open", "second.tdf", "--as", BOB, "--out", "-")
    done(folder, "keys", "root", "release", "r1")
    done(folder, "open", "report.txt.tdf", "--as", BOB, "--out", "-")
    done(folder, "keys", "root", "selftest")


def test_the_end_of_a_root_key_wants_time_and_a_second_person(folder: Path):
    done(folder, "keys", "root", "hold", "r1")
    first = json.loads(done(folder, "keys", "root", "destroy", "r1", "--by", "alice", "--json"))
    assert first["state"] == "held"
    assert first["destroy_after"]
    for by in ("alice", "bob"):
        result = mta(folder, "keys", "root", "destroy", "r1", "--by", by)
        assert result.returncode == 2
    assert (folder / "keys" / "r1.key").exists()


WRONG = [
    (("protect", "report.txt", "--label", "confidental", "--to", BOB), "did you mean confidential?"),
    (("protect", "report.txt", "--label", "confidential"), "--to names"),
    (("protect", "none.txt", "--label", "confidential", "--to", BOB), "none.txt cannot be read"),
    (("protect", "report.txt", "--label", "house", "--to", BOB), "--to cannot add to it"),
    (("protected", "show", "zzz"), "there is no item zzz"),
    (("protected", "list", "--state", "alive"), "did you mean live?"),
    (("keys", "root", "create", "r3"), "names no key r3"),
    (("keys", "root", "create", "r1"), "there is a root key r1 already"),
    (("keys", "root", "activate", "r9"), "knows no root key r9"),
    (("log", "receipt", "99"), "no 99"),
]


@pytest.mark.parametrize(("words", "told"), WRONG, ids=[told for _, told in WRONG])
def test_what_cannot_be_meant_is_told_with_what_is_near(folder: Path, words: tuple[str, ...], told: str):
    result = mta(folder, *words)
    assert result.returncode == 2
    assert told in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_receipt_travels_alone(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    protect(folder)
    done(folder, "log", "receipt", "1", "--out", "one.proof")
    key = json.loads(done(folder, "log", "head", "--json"))["key"]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "one.proof").write_bytes((folder / "one.proof").read_bytes())
    told = json.loads(done(elsewhere, "log", "verify", "one.proof", "--key", key, "--json"))
    assert told["event"]["op"] == "protect"
    (elsewhere / "one.proof").write_bytes((folder / "one.proof").read_bytes().replace(b"index 1", b"index 0"))
    assert mta(elsewhere, "log", "verify", "one.proof", "--key", key).returncode == 1


def test_what_is_damaged_does_not_open_and_leaves_no_file(folder: Path):
    protect(folder)
    octets = bytearray((folder / "report.txt.tdf").read_bytes())
    octets[200] ^= 1
    (folder / "bad.tdf").write_bytes(octets)
    result = mta(folder, "open", "bad.tdf", "--as", BOB, "--out", "bad.txt")
    assert result.returncode == 1
    assert not (folder / "bad.txt").exists()
    assert "does not open" in result.stderr
