"""`mta directory`: what is said of a recipient, and keeping certificates."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mta.adapters.directory.harvested import HarvestedSource
from mta.cli import directory_store as store
from mta.cli.directory import lookup
from mta.errors import UsageError
from mta.model.directory import Harvest
from mta.observe.log import EventLog
from tests.support.people import BOB, EPOCH, NOW, der, mailbox, pem
from tests.support.pki import authority

CONFIG = """
server: {hostname: mx.contoso.example}
directory:
  trust: {anchors: anchors.pem}
  sources:
    - {type: folder, path: recipients}
    - {type: harvested}
"""


class Desk:
    """A folder with a configuration; `said` is what a command printed."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        (folder / "recipients").mkdir()
        authority("People CA").write(folder / "anchors.pem")
        self.config = str(folder / "connectors.yaml")
        Path(self.config).write_text(CONFIG)

    def put(self, name: str, *ders: bytes) -> str:
        path = self.folder / name
        path.write_bytes(pem(*ders))
        return str(path)

    def take_in(self, *files: str, address: str = "", json_output: bool = False) -> int:
        return store.take_in(store.Import(files, address, self.config), json_output)

    def learn(self, *ders: bytes) -> None:
        """As the relay does with verified mail."""

        async def remember() -> None:
            (self.folder / "var" / "queue" / "directory").mkdir(parents=True, exist_ok=True)
            with open("/dev/null", "wb") as nowhere:
                path = self.folder / "var" / "queue" / "directory" / "harvested.sqlite"
                source = HarvestedSource(path, False, EventLog(nowhere.fileno()))
                for one in ders:
                    await source.remember(Harvest(mailbox(), one, (), (), EPOCH), one)
                await source.close()

        asyncio.run(remember())

    def said(self) -> str:
        return self._capsys.readouterr().out

    def complained(self) -> str:
        return self._capsys.readouterr().err

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.said())
        return found


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    return Desk(tmp_path, capsys)


def test_who_is_found_and_who_not(desk: Desk) -> None:
    ended = der(begins=NOW - timedelta(9), ends=NOW - timedelta(1))
    desk.put("recipients/a.pem", der())
    desk.put("recipients/b.pem", ended)
    assert lookup(desk.config, BOB, False) == 0
    words = desk.said()
    assert words.startswith("bob@fabrikam.example  found\n")
    assert "of folder (manual), found for bob@fabrikam.example" in words
    assert "of folder: expired: it expired on" in words
    assert lookup(desk.config, BOB, True) == 0
    document = desk.document()
    assert (document["status"], document["certificate"]["place"]) == ("found", "a.pem")
    assert [other["place"] for other in document["others"]] == ["b.pem"]
    assert [source["result"] for source in document["sources"]] == ["found", "none"]
    assert lookup(desk.config, "nobody@fabrikam.example", True) == 1
    assert desk.document()["certificate"] is None
    with pytest.raises(UsageError):
        lookup(desk.config, "nonsense", False)


def test_without_a_directory_nobody_has_a_certificate(desk: Desk) -> None:
    Path(desk.config).write_text("server: {hostname: mx.contoso.example}\n")
    assert lookup(desk.config, BOB, False) == 1
    assert "no directory is configured" in desk.said()
    with pytest.raises(UsageError, match="no folder"):
        desk.take_in(desk.put("x.pem", der()))
    with pytest.raises(UsageError, match="type: harvested"):
        store.approve(desk.config, BOB, "", reject=False, json_output=False)


def test_certificates_are_taken_in_with_their_chain(desk: Desk) -> None:
    one, ca = der(), authority("People CA").der
    assert desk.take_in(desk.put("bob.pem", one, ca), json_output=True) == 0
    (written,) = desk.document()["certificates"]
    assert written["found_for"] == BOB
    assert Path(written["file"]).read_bytes() == pem(one, ca)
    assert lookup(desk.config, BOB, True) == 0
    assert desk.document()["certificate"]["sha256"] == written["sha256"]


def test_of_whom_a_certificate_is_may_be_said(desk: Desk) -> None:
    gateway = desk.put("gateway.pem", der(emails=[]))
    with pytest.raises(UsageError, match="names no address"):
        desk.take_in(gateway)
    assert desk.take_in(gateway, address="@Fabrikam.example") == 0
    assert desk.take_in(gateway, address="Chief@wingtip.example") == 0
    assert desk.said().split()[::3] == ["@fabrikam.example", "chief@wingtip.example"]
    for address in ("anybody@fabrikam.example", "chief@wingtip.example"):
        assert lookup(desk.config, address, False) == 0


@pytest.mark.parametrize("address", ["@", "@a b", "nonsense"])
def test_for_whom_nothing_can_be_kept(desk: Desk, address: str) -> None:
    with pytest.raises(UsageError):
        desk.take_in(desk.put("x.pem", der()), address=address)


def test_what_cannot_be_taken_in_changes_nothing(desk: Desk) -> None:
    good = desk.put("good.pem", der())
    (desk.folder / "bad.pem").write_text("hello")
    for bad, words in (
        (str(desk.folder / "bad.pem"), "no certificate"),
        (str(desk.folder / "missing.pem"), "No such file"),
        (desk.put("ca.pem", authority("People CA").der), "of CAs only"),
    ):
        with pytest.raises(UsageError, match=words):
            desk.take_in(good, bad)
    assert list((desk.folder / "recipients").iterdir()) == []


def test_from_standard_input(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pem(der()))))
    assert desk.take_in("-") == 0


def test_a_list_of_all_of_a_domain_and_of_an_address(desk: Desk) -> None:
    desk.put("recipients/a.pem", der())
    desk.put("recipients/@wingtip.example.pem", der(emails=["x@y.example"]))
    (desk.folder / "recipients" / "broken.pem").write_text("hello")
    desk.learn(der())
    for which, keys in (
        ("", ["@wingtip.example", BOB, "x@y.example", BOB]),
        ("fabrikam.example", [BOB, BOB]),
        ("@wingtip.example", ["@wingtip.example"]),
        ("BOB@fabrikam.example", [BOB, BOB]),
        ("*@fabrikam.example", []),
    ):
        assert store.show(desk.config, which, False, True) == (0 if keys else 1)
        document = desk.document()
        assert [row["found_for"] for row in document["certificates"]] == keys
        assert document["faults"] == [{"source": "folder", "file": "broken.pem", "fault": "it holds no certificate"}]
    assert store.show(desk.config, "", True, False) == 0
    (line,) = desk.said().splitlines()
    assert (line.split()[0], line.split()[-1]) == (BOB, "pending")
    with pytest.raises(UsageError):
        store.show(desk.config, "a b", False, False)


def test_what_was_learned_waits_for_a_word(desk: Desk) -> None:
    desk.learn(one := der(), der(kind="ec-p384"))
    assert lookup(desk.config, BOB, True) == 1
    reasons = {other["reason"].partition(":")[0]: other["sha256"] for other in desk.document()["others"]}
    assert set(reasons) == {"not-approved"}
    with pytest.raises(UsageError, match="2 certificates"):
        store.approve(desk.config, BOB, "", reject=False, json_output=False)
    digest = hashlib.sha256(one).hexdigest()
    assert store.approve(desk.config, BOB, digest[:9].upper(), reject=False, json_output=True) == 0
    assert desk.document()["certificates"][0]["state"] == "approved"
    assert lookup(desk.config, BOB, True) == 0
    document = desk.document()["certificate"]
    assert (document["sha256"], document["rung"]) == (digest, "harvested")
    assert store.approve(desk.config, BOB, digest, reject=True, json_output=False) == 0
    assert "rejected" in desk.said()
    assert lookup(desk.config, BOB, False) == 1
    assert store.approve(desk.config, BOB, "0000000000", reject=False, json_output=False) == 1


def test_certificates_are_given_out(desk: Desk) -> None:
    desk.put("recipients/a.pem", one := der())
    desk.put("recipients/c.pem", two := der(emails=["carol@wingtip.example"]))
    desk.learn(der(kind="ec-p384"))
    assert store.export(desk.config, BOB) == 0
    words = desk.said()
    assert words.startswith("# bob@fabrikam.example, of folder, exported ")
    assert pem(one).decode().strip() in words
    assert store.export(desk.config, "") == 0
    words = desk.said()
    assert words.count("BEGIN CERTIFICATE") == 2  # what nobody has approved is not given out
    assert pem(two).decode().strip() in words
    assert store.export(desk.config, "nobody@fabrikam.example") == 1
    assert store.export(desk.config, "elsewhere.example") == 1
