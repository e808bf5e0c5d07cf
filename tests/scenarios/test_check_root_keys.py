"""`mta check` and `mta certs list` know the root keys: where they are, whether the vault knows them, who may use it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.adapters.root_keys import new_root_key
from tests.support.commands import done, mta
from tests.support.programs import needs
from tests.support.softhsm import PIN, SoftHsm, soft_hsm

CONFIG = """\
server:
  hostname: mx.contoso.example
{server}domains: {{contoso.example: {{deliver_to: ["127.0.0.1:25"]}}}}
protection:
  root_keys:
    - {{id: r1, key: {key}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    configure(tmp_path, "keys/r1.key")
    return tmp_path


def configure(home: Path, key: str, server: str = "") -> None:
    (home / "connectors.yaml").write_text(CONFIG.format(key=f'"{key}"', server=server))


def told(home: Path) -> tuple[int, list[tuple[str, str]], list[tuple[str, str]]]:
    """How check ended; its problems and warnings: text and hint."""
    ended = mta(home, "check", "--json")
    assert "Traceback" not in ended.stderr
    document = json.loads(ended.stdout)
    problems, warnings = (
        [
            (one["message"], one["hint"])
            for one in document[kind]
            if one["path"].startswith("protection") or kind == "problems"
        ]
        for kind in ("problems", "warnings")
    )
    return ended.returncode, problems, warnings


def test_a_key_that_nobody_made_yet_is_a_warning_that_says_how(folder: Path) -> None:
    code, problems, [warning] = told(folder)
    assert (code, problems) == (0, [])
    assert warning == ("the vault does not know the root key r1", "mta keys root create r1")
    assert not (folder / "var" / "vault").exists()
    done(folder, "keys", "root", "create", "r1")
    assert told(folder) == (0, [], [])


def test_a_key_that_lies_there_and_was_not_taken_over_is_a_warning(folder: Path) -> None:
    (folder / "keys").mkdir()
    (folder / "keys" / "r1.key").write_bytes(new_root_key(2048)[0])
    (folder / "keys" / "r1.key").chmod(0o600)
    assert told(folder)[2] == [("the vault does not know the root key r1", "mta keys root import r1")]


def test_a_file_that_others_can_read_is_a_problem(folder: Path) -> None:
    done(folder, "keys", "root", "create", "r1")
    (folder / "keys" / "r1.key").chmod(0o640)
    code, [(text, _)], warnings = told(folder)
    assert (code, warnings) == (2, [])
    assert "(mode 0640): chmod 600" in text


def test_a_key_that_is_gone_or_another_is_a_problem(folder: Path) -> None:
    done(folder, "keys", "root", "create", "r1")
    file = folder / "keys" / "r1.key"
    file.rename(folder / "elsewhere")
    code, [(text, hint)], _ = told(folder)
    assert code == 2
    assert text == "the root key r1 is not in its place: what was sealed to it does not open"
    assert "backup" in hint
    file.write_bytes(new_root_key(2048)[0])
    file.chmod(0o600)
    assert told(folder)[1][0][0] == "another key than the one that the vault calls r1"


def test_certs_list_shows_them(folder: Path) -> None:
    [row] = json.loads(done(folder, "certs", "list", "--json"))["certificates"]
    assert (row["kind"], row["subject"], row["not_after"], row["spki_sha256"]) == ("root", "r1", 0.0, "")
    assert "does not know it yet" in row["detail"]
    done(folder, "keys", "root", "create", "r1")
    [row] = json.loads(done(folder, "certs", "list", "--json"))["certificates"]
    [key] = json.loads(done(folder, "keys", "root", "list", "--json"))
    assert f"spki-sha256:{row['spki_sha256']}" == key["fingerprint"]
    assert row["detail"].startswith("RSA 2048, active")
    assert row["where"] == "protection.root_keys[0]"
    assert "r1" in done(folder, "certs", "list")


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    made = soft_hsm(tmp_path / "hsm")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.mark.peer
@needs("softhsm2-util")
def test_a_key_in_a_token(folder: Path, hsm: SoftHsm) -> None:
    def pin(word: str) -> None:
        (folder / "pin").write_text(f"{word}\n")
        (folder / "pin").chmod(0o600)

    configure(folder, hsm.uri("root"), f'  pkcs11: {{module: "{hsm.module}", pin_file: pin}}\n')
    pin(PIN)
    assert told(folder)[2] == [("the vault does not know the root key r1", "mta keys root create r1")]
    done(folder, "keys", "root", "create", "r1")
    assert told(folder) == (0, [], [])
    pin("9999")
    code, [(text, hint)], warnings = told(folder)
    assert (code, warnings) == (2, [])
    assert "the token mta-test refuses the PIN of pin_file" in text
    assert "server.pkcs11" in hint
    pin(PIN)
    configure(folder, hsm.uri("other"), f'  pkcs11: {{module: "{hsm.module}", pin_file: pin}}\n')
    assert "is not in its place" in told(folder)[1][0][0]
    hsm.folder.joinpath("tokens").rename(hsm.folder / "drawer")
    assert "reaches no token mta-test" in told(folder)[1][0][0]


@pytest.fixture
def house() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@needs(root=True)
def test_a_vault_that_the_relays_user_cannot_use_is_a_problem(house: Path) -> None:
    configure(house, "keys/r1.key", "  user: nobody\n")
    (house / "var" / "vault").mkdir(parents=True)
    (house / "var" / "vault").chmod(0o700)
    code, problems, _ = told(house)
    assert code == 2
    assert any("var/vault cannot be used" in text for text, _ in problems)
    os.chown(house / "var" / "vault", 65534, 65534)
    assert told(house)[1] == []
