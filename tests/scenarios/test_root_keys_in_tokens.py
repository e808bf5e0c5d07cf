"""Root keys in a token by the commands: made, brought, rotated, restored elsewhere, destroyed; and what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.commands import done, mta
from tests.support.programs import needs
from tests.support.softhsm import PIN, SoftHsm, soft_hsm

pytestmark = [pytest.mark.peer, needs("softhsm2-util")]
BOB = "bob@fabrikam.example"
CONFIG = """
server: {{hostname: mx.contoso.example, pkcs11: {{module: "{module}", pin_file: pin}}}}
domains: {{contoso.example: {{deliver_to: ["127.0.0.1:25"]}}}}
protection:
  root_keys:
    - {{id: r1, key: "pkcs11:token=mta-test;object=root-1"}}
    - {{id: r2, key: "pkcs11:token=mta-test;object=root-2"}}
    - {{id: r3, key: keys/r3.key}}
  labels:
    confidential: {{rights: do-not-forward, readers: recipients, expires: 30d}}
"""


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsm:
    made = soft_hsm(tmp_path / "hsm")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
def folder(tmp_path: Path, hsm: SoftHsm) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    (home / "connectors.yaml").write_text(CONFIG.format(module=hsm.module))
    write_pin(home, PIN)
    (home / "report.txt").write_bytes(b"the plan\n" * 1000)
    return home


def write_pin(home: Path, pin: str) -> None:
    (home / "pin").write_text(f"{pin}\n")
    (home / "pin").chmod(0o600)


def write_key(path: Path, bits: int = 2048) -> None:
    key = rsa.generate_private_key(65_537, bits)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)


def protect(home: Path, out: str) -> None:
    done(home, "protect", "report.txt", "--label", "confidential", "--to", BOB, "--out", out)


def opens(home: Path, file: str) -> bool:
    ended = mta(home, "open", file, "--as", BOB, "--out", "-")
    assert (ended.returncode == 0) is (ended.stdout == "the plan\n" * 1000)
    return ended.returncode == 0


def objects(hsm: SoftHsm) -> list[Path]:
    """The files of keys, one a half; not that of the token itself."""
    return sorted(path for path in hsm.folder.rglob("*.object") if path.name != "token.object")


def states(home: Path) -> dict[str, str]:
    return {row["id"]: row["state"] for row in json.loads(done(home, "keys", "root", "list", "--json"))}


def test_items_of_three_keys_open_after_each_rotation(folder: Path, hsm: SoftHsm) -> None:
    write_key(folder / "outside.pem", 3072)
    done(folder, "keys", "root", "create", "r1")
    done(folder, "keys", "root", "import", "r2", "--file", "outside.pem")
    (folder / "outside.pem").unlink()
    done(folder, "keys", "root", "create", "r3")
    files = []
    for id in ("r1", "r2", "r3"):
        if id != "r1":
            done(folder, "keys", "root", "activate", id)
        protect(folder, f"{id}.tdf")
        files.append(f"{id}.tdf")
        assert all(opens(folder, file) for file in files)
    assert states(folder) == {"r1": "archived", "r2": "archived", "r3": "active"}
    done(folder, "keys", "root", "selftest")

    hsm.folder.joinpath("tokens").rename(hsm.folder / "drawer")
    assert [opens(folder, file) for file in files] == [False, False, True]
    protect(folder, "sealed-without-token.tdf")
    hsm.folder.joinpath("drawer").rename(hsm.folder / "tokens")
    assert all(opens(folder, file) for file in files)


def test_sealing_to_a_token_asks_no_token(folder: Path, hsm: SoftHsm) -> None:
    done(folder, "keys", "root", "create", "r1")
    hsm.folder.joinpath("tokens").rename(hsm.folder / "drawer")
    protect(folder, "one.tdf")
    away = mta(folder, "open", "one.tdf", "--as", BOB, "--out", "-")
    assert away.returncode != 0
    assert "Traceback" not in away.stderr
    told = [(event["op"], event["result"]) for event in json.loads(done(folder, "log", "list", "--json"))]
    assert told[-2:] == [("open", "permitted"), ("open", "failed")]
    hsm.folder.joinpath("drawer").rename(hsm.folder / "tokens")
    assert opens(folder, "one.tdf")


def test_a_wrong_pin_is_told(folder: Path) -> None:
    done(folder, "keys", "root", "create", "r1")
    protect(folder, "one.tdf")
    write_pin(folder, "9999")
    told = mta(folder, "keys", "root", "selftest")
    assert told.returncode == 1
    assert "the token mta-test refuses the PIN of pin_file" in told.stdout
    assert not opens(folder, "one.tdf")
    write_pin(folder, PIN)
    assert opens(folder, "one.tdf")


def test_a_vault_restored_elsewhere_opens_by_the_places_of_its_new_configuration(folder: Path, tmp_path: Path) -> None:
    done(folder, "keys", "root", "create", "r3")
    protect(folder, "one.tdf")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere)
    shutil.rmtree(folder)
    (elsewhere / "safe").mkdir()
    (elsewhere / "keys" / "r3.key").rename(elsewhere / "safe" / "moved.key")
    assert not opens(elsewhere, "one.tdf")
    config = elsewhere / "connectors.yaml"
    config.write_text(config.read_text().replace("keys/r3.key", "safe/moved.key"))
    assert opens(elsewhere, "one.tdf")
    [row] = json.loads(done(elsewhere, "keys", "root", "list", "--json"))
    assert row["place"].endswith("safe/moved.key")


def test_a_place_that_holds_another_key_opens_nothing(folder: Path) -> None:
    done(folder, "keys", "root", "create", "r1")
    done(folder, "keys", "root", "create", "r2")
    protect(folder, "one.tdf")
    config = folder / "connectors.yaml"
    text = config.read_text()
    config.write_text(text.replace("root-1", "root-9").replace("root-2", "root-1").replace("root-9", "root-2"))
    assert not opens(folder, "one.tdf")
    assert "another than the one that is meant" in mta(folder, "keys", "root", "selftest", "r1").stdout
    config.write_text(text)
    assert opens(folder, "one.tdf")


def test_the_end_of_a_key_removes_it_from_its_token(
    folder: Path, hsm: SoftHsm, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(folder, "keys", "root", "create", "r1")
    protect(folder, "one.tdf")
    done(folder, "keys", "root", "hold", "r1")
    done(folder, "keys", "root", "destroy", "r1", "--by", "alice")
    assert mta(folder, "keys", "root", "destroy", "r1", "--by", "bob").returncode == 2
    monkeypatch.setattr("mta.policy.root_key.DELAY", -1.0)
    done(folder, "keys", "root", "release", "r1")
    done(folder, "keys", "root", "hold", "r1")
    done(folder, "keys", "root", "destroy", "r1", "--by", "alice")

    hsm.folder.joinpath("tokens").rename(hsm.folder / "drawer")
    left = mta(folder, "keys", "root", "destroy", "r1", "--by", "bob")
    assert left.returncode != 0
    assert "the key itself could not be removed" in left.stderr
    assert states(folder) == {"r1": "destroyed"}
    hsm.folder.joinpath("drawer").rename(hsm.folder / "tokens")
    assert len(objects(hsm)) == 2
    done(folder, "keys", "root", "destroy", "r1", "--by", "bob")
    assert objects(hsm) == []
    assert not opens(folder, "one.tdf")
    assert mta(folder, "keys", "root", "create", "r1").returncode == 2


REFUSED = [
    (("create", "r1"), "a key called root-1 already; it was left as it is; `mta keys root import r1` takes over"),
    (("import", "r2", "--file", "short.pem"), "and this one has 1024"),
    (("import", "r3", "--file", "short.pem"), "and this one has 1024"),
    (("import", "r2", "--file", "none.pem"), "none.pem cannot be read"),
    (("import", "r2"), "no one key called root-2"),
    (("create", "r1", "--bits", "1024"), "2048, 3072 or 4096 bits, not 1024"),
]


@pytest.mark.parametrize(("words", "told"), REFUSED, ids=[" ".join(words) for words, _ in REFUSED])
def test_what_cannot_be_is_refused_and_writes_nothing(
    folder: Path, hsm: SoftHsm, words: tuple[str, ...], told: str
) -> None:
    write_key(folder / "there.pem")
    write_key(folder / "short.pem", 1024)
    hsm.store("root-1", (folder / "there.pem").read_bytes())
    before = objects(hsm)
    ended = mta(folder, "keys", "root", *words)
    assert ended.returncode != 0
    assert told in ended.stderr
    assert "Traceback" not in ended.stderr
    assert objects(hsm) == before != []
    assert not (folder / "keys" / "r3.key").exists()
    assert states(folder) == {}


def test_a_key_that_lies_in_the_token_is_taken_over(folder: Path, hsm: SoftHsm) -> None:
    write_key(folder / "there.pem")
    hsm.store("root-1", (folder / "there.pem").read_bytes())
    done(folder, "keys", "root", "import", "r1")
    protect(folder, "one.tdf")
    assert opens(folder, "one.tdf")


@needs(root=True)
def test_root_works_in_a_token_with_the_rights_of_the_relays_user(
    folder: Path, hsm: SoftHsm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What root makes for the user belongs to the user, and what root brings the user need not be able to read."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        house = Path(name)
        shutil.copytree(folder, house / "home")
        shutil.copytree(hsm.folder, house / "hsm")
        conf = (house / "hsm" / "softhsm2.conf").read_text().replace(str(hsm.folder), str(house / "hsm"))
        (house / "hsm" / "softhsm2.conf").write_text(conf)
        config = house / "home" / "connectors.yaml"
        config.write_text(config.read_text().replace("pkcs11:", "user: nobody, pkcs11:", 1))
        for path in (house, *house.rglob("*")):
            os.chown(path, 65534, 65534)
        monkeypatch.setenv("SOFTHSM2_CONF", str(house / "hsm" / "softhsm2.conf"))
        write_key(tmp_path / "outside.pem")
        os.chmod(tmp_path, 0o700)
        done(house / "home", "keys", "root", "create", "r1")
        done(house / "home", "keys", "root", "import", "r2", "--file", str(tmp_path / "outside.pem"))
        done(house / "home", "keys", "root", "selftest")
        made = objects(SoftHsm(house / "hsm", hsm.module))
        assert len(made) == 4
        assert {path.stat().st_uid for path in (*made, *(house / "home" / "var").rglob("*"))} == {65534}
