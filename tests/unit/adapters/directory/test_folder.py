"""A folder of certificate files: what counts, how changes are seen, and what its index is good for."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates

from mta.adapters.directory import folder as module
from mta.adapters.directory import index as index_module
from mta.adapters.directory.folder import FolderSettings, FolderSource
from mta.adapters.directory.scan import read_entries
from mta.errors import UsageError
from mta.model.directory import SourceStatus, TrustRung
from mta.observe.log import EventLog
from tests.support.patience import PATIENCE
from tests.support.people import BOB, der, mailbox, pem
from tests.support.pki import authority


class Folder:
    """A folder under test; `open` makes a new source over it, as another process would."""

    def __init__(self, folder: Path, log: EventLog) -> None:
        self.root, self.index, self._log = folder / "certificates", folder / "index.sqlite", log
        self.root.mkdir()

    def open(self, **changes: Any) -> FolderSource:
        return FolderSource(FolderSettings(self.root, self.index, **changes), self._log)

    def put(self, name: str, data: bytes) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    with open(tmp_path / "log", "wb") as log:
        yield Folder(tmp_path, EventLog(log.fileno(), "json"))


async def ders(source: FolderSource, address: str = BOB) -> list[bytes]:
    return [one.der for one in (await source.find(mailbox(address))).candidates]


ONE, CA = der(), authority("People CA").der
BAG = serialize_certificates([x509.load_der_x509_certificate(one) for one in (ONE, CA)], Encoding.DER)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.pem", pem(ONE)),
        ("x.crt", ONE),
        ("x.p7b", BAG),
        ("no-suffix", pem(ONE)),
        ("deep/er/x.cer", ONE),
        ("chain.pem", pem(ONE, CA)),
        ("key-and-certificate.pem", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" + pem(ONE)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_every_form_of_file(folder: Folder, name: str, data: bytes) -> None:
    folder.put(name, data)
    (found,) = (await folder.open().find(mailbox())).candidates
    assert (found.der, found.place, found.stated) == (ONE, name, False)
    assert found.chain == ((CA,) if data in (BAG, pem(ONE, CA)) else ())


OTHER = der(emails=["robert@elsewhere.example"])


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("bob@fabrikam.example.pem", True),
        ("BOB@Fabrikam.Example.p7b", True),
        ("bob@fabrikam.example/2026.pem", True),
        ("@fabrikam.example.pem", True),
        ("@fabrikam.example/gateway.crt", True),
        ("bob@fabrikam.example.pem.bak/x", False),
        ("bob.pem", False),
        ("@.pem", False),
    ],
)
async def test_a_file_may_be_called_after_whom_it_is_for(folder: Folder, name: str, stated: bool) -> None:
    folder.put(name, pem(OTHER))
    source = folder.open()
    assert [one.stated for one in (await source.find(mailbox())).candidates] == ([True] if stated else [])
    assert await ders(source, "robert@elsewhere.example") == [OTHER]  # by its own name all the same


async def test_what_is_passed_over(folder: Folder) -> None:
    for name in (".hidden.pem", "x.pem~", "x.tmp", "x.key", ".folder/x.pem", "1/2/3/4/5/6/7/8/9/x.pem"):
        folder.put(name, pem(ONE))
    os.symlink(folder.root / "nowhere", folder.root / "leads-nowhere.pem")
    os.mkfifo(folder.root / "pipe.pem")
    source = folder.open()
    assert await ders(source) == []
    assert await source.faults() == []


async def test_links_to_files_are_followed(folder: Folder, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.pem").write_bytes(pem(ONE))
    os.symlink(tmp_path / "elsewhere.pem", folder.root / "link.pem")
    assert await ders(folder.open()) == [ONE]


async def test_the_certificate_of_a_ca_is_nobodys(folder: Folder) -> None:
    folder.put("bob@fabrikam.example.pem", pem(CA))
    assert await ders(folder.open()) == []


# --- watching


async def test_files_that_come_change_and_go(folder: Folder) -> None:
    source, two = folder.open(), der(kind="ec-p384")
    assert await ders(source) == []
    path = folder.put("a.pem", pem(ONE))
    assert await ders(source) == [ONE]
    path.write_bytes(pem(two))  # in its place: the folder's own time does not change
    assert await ders(source) == [two]
    path.write_bytes(pem(OTHER))
    assert await ders(source) == []
    assert await ders(source, "robert@elsewhere.example") == [OTHER]
    path.rename(folder.root / "b.pem")
    assert (await source.find(mailbox("robert@elsewhere.example"))).candidates[0].place == "b.pem"
    (folder.root / "b.pem").unlink()
    assert await ders(source, "robert@elsewhere.example") == []


async def test_a_file_that_is_still_being_written(folder: Folder) -> None:
    source = folder.open()
    path = folder.put("a.pem", pem(ONE)[:-40])
    assert await ders(source) == []
    assert await source.faults() == [("a.pem", "it holds no certificate")]
    path.write_bytes(pem(ONE))
    assert await ders(source) == [ONE]
    assert await source.faults() == []


async def test_unusable_files_are_told_and_stop_nothing(folder: Folder, tmp_path: Path) -> None:
    folder.put("a.pem", pem(ONE))
    folder.put("empty.pem", b"")
    folder.put("large.pem", b"\x30" * (1 << 20) + b"\x30")
    folder.put("text.txt", b"hello")
    source = folder.open()
    assert await ders(source) == [ONE]
    assert [(name, fault[:12]) for name, fault in await source.faults()] == [
        ("empty.pem", "it holds no "),
        ("large.pem", "it is larger"),
        ("text.txt", "it holds no "),
    ]
    assert (tmp_path / "log").read_text().count("directory.fault") == 3


async def test_a_folder_that_is_gone_comes_back(folder: Folder) -> None:
    folder.put("a.pem", pem(ONE))
    source = folder.open()
    assert await ders(source) == [ONE]
    folder.root.rename(folder.root.with_name("away"))
    answer = await source.find(mailbox())
    assert (answer.status, "No such file" in answer.detail) == (SourceStatus.DOWN, True)
    folder.root.with_name("away").rename(folder.root)
    assert await ders(source) == [ONE]


async def test_overwritten_files_are_found_by_the_full_scan(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FULL_SCAN", 0.3)
    path = folder.put("a.pem", pem(OTHER))
    os.utime(folder.root, (1, 1))  # nothing has come or gone for long
    source = folder.open()
    assert await ders(source) == []
    path.write_bytes(pem(ONE))  # nobody looks at this file for bob's sake
    async with asyncio.timeout(PATIENCE):
        while await ders(source) != [ONE]:
            await asyncio.sleep(0.02)


async def test_folders_that_come_and_go(folder: Folder) -> None:
    source = folder.open()
    folder.put("keep/alice.pem", pem(OTHER))
    assert await ders(source) == []
    folder.put("a/b/one.pem", pem(ONE))
    assert await ders(source) == [ONE]
    (folder.root / "a" / "b").rename(folder.root / "c")
    assert [one.place for one in (await source.find(mailbox())).candidates] == ["c/one.pem"]
    shutil.rmtree(folder.root / "c")
    assert await ders(source) == []
    assert await ders(source, "robert@elsewhere.example") == [OTHER]


async def test_only_folders_that_have_changed_are_listed(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/x.pem", "b/x.pem", "b/c/x.pem"):
        folder.put(name, pem(OTHER))
    for name in ("", "a", "b", "b/c"):
        os.utime(folder.root / name, (1, 1))
    source = folder.open()
    await ders(source)
    listed: list[str] = []
    monkeypatch.setattr(os, "scandir", lambda path, real=os.scandir: (listed.append(str(path)), real(path))[1])
    folder.put("b/one.pem", pem(ONE))
    assert await ders(source) == [ONE]
    assert listed == [str(folder.root / "b")]


async def test_files_are_read_before_anybody_asks(folder: Folder, reads: list[str]) -> None:
    folder.put("a.pem", pem(ONE))
    source = folder.open()
    await source.refresh()
    assert reads == ["a.pem"]
    assert await ders(source) == [ONE]
    assert reads == ["a.pem"]
    shutil.rmtree(folder.root)
    await folder.open().refresh()  # who asks hears of it


# --- the index


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were read, in their order."""
    names: list[str] = []

    def counted(root: Path, name: str) -> Any:
        names.append(name)
        return read_entries(root, name)

    monkeypatch.setattr(module, "read_entries", counted)
    return names


async def test_what_was_read_once_is_not_read_again(folder: Folder, reads: list[str]) -> None:
    folder.put("a.pem", pem(ONE))
    folder.put("b.pem", pem(OTHER))
    for _ in range(2):
        source = folder.open()
        assert await ders(source) == [ONE]
        await source.close()
    assert sorted(reads) == ["a.pem", "b.pem"]
    folder.put("c.pem", pem(der()))
    assert len(await ders(folder.open())) == 2
    assert reads[2:] == ["c.pem"]


async def test_two_processes_share_one_index(folder: Folder, reads: list[str]) -> None:
    first, second = folder.open(), folder.open()
    folder.put("a.pem", pem(ONE))
    assert await ders(first) == await ders(second) == [ONE]
    assert reads == ["a.pem"]


@pytest.mark.parametrize("damage", [b"", b"no database at all" * 500])
async def test_a_damaged_index_is_made_anew(folder: Folder, damage: bytes) -> None:
    folder.put("a.pem", pem(ONE))
    source = folder.open()
    await ders(source)
    await source.close()
    for path in folder.index.parent.glob("index.sqlite*"):
        path.write_bytes(damage)
    assert await ders(folder.open()) == [ONE]


async def test_an_index_of_another_version_is_made_anew(
    folder: Folder, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.put("a.pem", pem(ONE))
    for version in (index_module._VERSION, 99):
        monkeypatch.setattr(index_module, "_VERSION", version)
        source = folder.open()
        assert await ders(source) == [ONE]
        await source.close()
    assert reads == ["a.pem"] * 2


async def test_where_no_index_can_be_written_it_works_all_the_same(folder: Folder, tmp_path: Path) -> None:
    folder.put("a.pem", pem(ONE))
    folder.index = tmp_path / "no" / "such" / "folder" / "index.sqlite"
    assert await ders(folder.open(rung=TrustRung.ANCHORED)) == [ONE]
    assert "index.sqlite" in (tmp_path / "log").read_text()


# --- keeping


async def test_what_is_added_is_found_with_its_chain(folder: Folder) -> None:
    source = folder.open()
    path = await source.add(BOB, OTHER, (CA,))
    assert path.startswith(str(folder.root / BOB))
    (found,) = (await source.find(mailbox())).candidates
    assert (found.der, found.stated, found.chain) == (OTHER, True, (CA,))
    assert await source.listing("*@fabrikam.example") == [(BOB, os.path.relpath(path, folder.root), OTHER)]
    assert [key for key, _, _ in await source.listing("*")] == [BOB, "robert@elsewhere.example"]


@pytest.mark.parametrize("key", ["../x@y.example", "a/b@y.example", ".x@y.example", "jörg@y.example", "x" * 300])
async def test_no_address_leads_out_of_the_folder(folder: Folder, key: str) -> None:
    with pytest.raises(UsageError):
        await folder.open().add(key, ONE, ())
    assert os.listdir(folder.root) == []
