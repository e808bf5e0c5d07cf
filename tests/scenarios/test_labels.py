"""Labels are shown with what each right is worth, and doubtful ones are told by check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scenarios.test_protect_files import BOB, done, mta
from tests.support.irm import mail

CONFIG = """
server: {hostname: mx.contoso.example}
domains: {contoso.example: {deliver_to: ["127.0.0.1:25"]}}
protection:
  root_keys: [{id: r1, key: keys/r1.key}]
  labels:
    confidential:
      {name: {en: Confidential}, rank: 2, rights: do-not-forward, expires: 30d, marking: {header: "{label}"}}
    house: {rank: 1, rights: viewer, readers: internal}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "connectors.yaml").write_text(CONFIG)
    return tmp_path


def test_labels_are_listed_shown_and_explained(folder: Path):
    rows = json.loads(done(folder, "label", "list", "--json"))
    assert [row["label"] for row in rows] == ["confidential", "house"]
    one = json.loads(done(folder, "label", "show", "confidential", "--json"))
    assert (one["expires"], one["readers"]) == (30 * 86_400, ["recipients"])
    assert (one["rights"]["VIEW"], one["rights"]["EDIT"]) == ("enforced", "declared")
    assert "EXPORT" not in one["rights"]
    told = json.loads(done(folder, "label", "explain", "confidential", "--to", BOB, "--json"))
    assert told["readers"] == [BOB]
    assert told["rights"]["EXPORT"]["granted"] is False
    assert told["rights"]["PRINT"]["how"] == "declared"
    assert "they may not pass it on (enforced" in done(folder, "label", "explain", "confidential", "--to", BOB)
    assert "header   {label}" in done(folder, "label", "show", "confidential")
    assert "for recipients, for 30d" in done(folder, "label", "list")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("label", "show", "confidental"), "did you mean confidential?"),
        (("label", "explain", "confidential"), "--to names"),
        (("label", "explain", "house", "--to", BOB), "--to cannot add to it"),
    ],
)
def test_what_cannot_be_meant(folder: Path, words: tuple[str, ...], told: str):
    result = mta(folder, *words)
    assert result.returncode == 2
    assert told in result.stderr


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("rights: do-not-forward", "rights: co-author", "what they took out does not expire"),
        ("rights: viewer", "rights: co-owner", "each of its readers owns it"),
        ("rank: 1", "rank: 2", "the rank 2 is that of confidential, too"),
        ("  root_keys: [{id: r1, key: keys/r1.key}]\n", "", "no root key to seal with"),
    ],
)
def test_check_warns_of_labels_that_promise_too_much(folder: Path, old: str, new: str, told: str):
    def warned() -> str:
        result = mta(folder, "check")
        return result.stdout + result.stderr

    assert told not in warned()
    assert old in CONFIG
    (folder / "connectors.yaml").write_text(CONFIG.replace(old, new))
    assert told in warned()


def test_explain_tells_of_the_items_that_a_message_carries(folder: Path):
    (folder / "plan.txt").write_bytes(b"the plan\n")
    done(folder, "keys", "root", "create", "r1")
    words = ("protect", "plan.txt", "--label", "confidential", "--to", BOB, "--json")
    item = json.loads(done(folder, *words))["item"]
    ours = (folder / "plan.txt.tdf").read_bytes()
    (folder / "letter.eml").write_bytes(mail(("plan.txt.tdf", "application/octet-stream", ours)))
    asked = ("explain", "--from", "a@elsewhere.example", "--to", "b@contoso.example", "--client-ip", "192.0.2.1")
    told = json.loads(done(folder, *asked, "--message", "letter.eml", "--json"))
    [found] = told["items"]
    assert (found["item"], found["state"], found["label"]) == (item, "live", "confidential")
    assert BOB in found["readers"]
    done(folder, "protected", "shred", item)
    assert f"item {item}, shredded, label confidential" in done(folder, *asked, "--message", "letter.eml")

    (folder / "connectors.yaml").write_text(CONFIG.replace("protection:", "protection:\n  store: sqlite:var/other"))
    told = json.loads(done(folder, *asked, "--message", "letter.eml", "--json"))
    assert told["items"] == [{"name": "plan.txt.tdf", "ours": False}]
    assert not (folder / "var/other").exists()
