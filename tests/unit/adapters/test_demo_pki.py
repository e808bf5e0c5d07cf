"""The demo's PKI: made, used again, made anew, and nothing of anyone else's overwritten."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mta.adapters.demo_pki import MARK, ensure_demo_pki
from mta.errors import UsageError

NOW = time.time()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_made_with_private_keys_and_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    assert ensure_demo_pki(folder, NOW)
    before = contents(folder)
    assert {path.stat().st_mode & 0o777 for path in folder.glob("*.key")} == {0o600}
    assert not ensure_demo_pki(folder, NOW)
    assert contents(folder) == before


def test_it_is_made_anew_before_it_expires(tmp_path: Path) -> None:
    ensure_demo_pki(tmp_path, NOW)
    before = contents(tmp_path)
    assert ensure_demo_pki(tmp_path, NOW + 89.5 * 86_400)
    assert contents(tmp_path)["mx.contoso.example.pem"] != before["mx.contoso.example.pem"]


@pytest.mark.parametrize("damage", ["missing", "nonsense", "foreign"])
def test_a_damaged_one_is_made_anew(damage: str, tmp_path: Path) -> None:
    ensure_demo_pki(tmp_path, NOW)
    path = tmp_path / "mail.fabrikam.example.key"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"x" if damage == "nonsense" else (tmp_path / "stranger.key").read_bytes())
    assert ensure_demo_pki(tmp_path, NOW)
    assert not ensure_demo_pki(tmp_path, NOW)


def test_a_ca_that_did_not_issue_the_certificates_is_noticed(tmp_path: Path) -> None:
    ensure_demo_pki(tmp_path, NOW)
    (tmp_path / "fabrikam-ca.pem").write_bytes((tmp_path / "contoso-ca.pem").read_bytes())
    assert ensure_demo_pki(tmp_path, NOW)


def test_files_that_the_demo_did_not_make_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mx.contoso.example.key").write_bytes(b"the real key")
    with pytest.raises(UsageError, match=r"mx\.contoso\.example\.key: .* move them away"):
        ensure_demo_pki(tmp_path, NOW)
    assert contents(tmp_path) == {"mx.contoso.example.key": b"the real key"}


def test_the_mark_says_what_the_folder_is(tmp_path: Path) -> None:
    ensure_demo_pki(tmp_path, NOW)
    assert b"Keep nothing of yours here" in contents(tmp_path)[MARK]
