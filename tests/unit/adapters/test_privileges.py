"""Root in a house that belongs to somebody else (root alone can play this: CI does)."""

from __future__ import annotations

import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mta.adapters.privileges import acting_for, make_house, make_private, strangers
from mta.app.directory import open_stores
from mta.app.reports import import_reports
from mta.app.shards import open_offline
from mta.cli.keys import NewKey, new
from mta.config.load import load
from mta.errors import UsageError
from tests.support.programs import needs

ROOT = needs(root=True)
NOBODY = pwd.getpwnam("nobody").pw_uid


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder of root's that everybody may pass through."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def test_a_folder_is_made_private_also_if_it_was_there(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir(mode=0o755)
    for folder in (there, tmp_path / "new/one"):
        make_private(folder)
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"the folder .*/file/queue cannot be used: Not a directory"):
        make_private(tmp_path / "file/queue")


def _house(base: Path) -> Path:
    house = base / "house"
    house.mkdir()
    os.chown(house, NOBODY, -1)
    return house


def _secret(base: Path) -> Path:
    secret = base / "secret"
    secret.write_text("root's own")
    secret.chmod(0o600)
    return secret


@ROOT
def test_root_acts_as_the_owner_of_the_house_and_is_root_again_after(base: Path) -> None:
    house = _house(base)
    with acting_for(house / "not/there/yet"):
        assert os.geteuid() == NOBODY
        with acting_for(house):  # one inside the other
            assert os.geteuid() == NOBODY
        assert os.geteuid() == NOBODY
    assert (os.geteuid(), os.getegid()) == (0, 0)
    with acting_for(base):
        assert os.geteuid() == 0, "it is root's own all the way"


@ROOT
@pytest.mark.parametrize("target", ["/root", "/etc", "{base}", "../../etc"])
def test_a_link_of_the_owner_s_does_not_make_the_house_root_s(base: Path, target: str) -> None:
    house = _house(base)
    link = house / "queue"
    link.symlink_to(target.replace("{base}", str(base)))
    os.lchown(link, NOBODY, -1)
    with acting_for(link):
        assert os.geteuid() == NOBODY
    with pytest.raises(UsageError, match="cannot be used"):
        make_house(link / "queue", "nobody")
    assert base.stat().st_uid == 0
    assert Path("/etc").stat().st_uid == 0


@ROOT
def test_a_folder_is_made_for_the_user_where_root_alone_can(base: Path) -> None:
    make_house(base / "var/queue", "nobody")
    assert (base / "var/queue").stat().st_uid == NOBODY
    assert (base / "var/queue").stat().st_mode & 0o777 == 0o700
    assert (base / "var").stat().st_uid == 0
    (base / "link").symlink_to("var/other")  # root's own link is root's decision
    (base / "var/other").mkdir()
    make_house(base / "link", "nobody")
    assert (base / "var/other").stat().st_uid == NOBODY


@ROOT
def test_a_folder_of_somebody_else_is_not_given_away(base: Path) -> None:
    house = base / "house"
    house.mkdir(mode=0o700)
    os.chown(house, 12_345, 12_345)
    with pytest.raises(UsageError, match="cannot be used: "):
        make_house(house / "queue", "nobody")
    assert house.stat().st_uid == 12_345


@ROOT
def test_what_does_not_belong_to_the_user_is_told_and_left(base: Path) -> None:
    house = _house(base)
    (house / "directory").mkdir()
    (house / "directory/x").symlink_to(_secret(base))
    assert strangers(house, "nobody") == [str(house / "directory"), str(house / "directory/x")]
    assert (base / "secret").stat().st_uid == 0


CONFIG = """
server: {hostname: mx.contoso.example, user: nobody, workers: 1, queue: {store: "sqlite:house"}}
domains: {contoso.example: {deliver_to: ["127.0.0.1:1"]}}
directory: {sources: [{type: harvested}]}
"""


@ROOT
async def test_commands_of_root_follow_no_link_of_the_relay_s_user(base: Path) -> None:
    house, secret = _house(base), _secret(base)
    (base / "connectors.yaml").write_text(CONFIG)
    known = load(str(base / "connectors.yaml"), now=1e9, cpus=1)
    with acting_for(house):
        for folder in ("shard-00", "directory"):
            (house / folder).mkdir()
        (house / "shard-00/lock").symlink_to(secret)
        (house / "directory/harvested.sqlite").symlink_to(base / "made-by-root")
    with pytest.raises(Exception, match=r"denied|cannot"):
        async with open_offline(known, [0]):
            pass
    async with open_stores(known) as stores:
        assert stores.harvested is not None
        await stores.harvested.listing("*")
    assert (secret.stat().st_uid, secret.stat().st_mode & 0o777) == (0, 0o600)
    assert sorted(path.name for path in base.iterdir()) == ["connectors.yaml", "house", "secret"]


@ROOT
async def test_what_root_s_commands_make_is_the_relay_s(base: Path) -> None:
    house = _house(base)
    (base / "connectors.yaml").write_text(CONFIG)
    known = load(str(base / "connectors.yaml"), now=1e9, cpus=1)
    (house / "shard-00").mkdir()
    os.chown(house / "shard-00", NOBODY, -1)
    async with open_offline(known, [0]), open_stores(known) as stores:
        assert stores.harvested is not None
        await stores.harvested.listing("*")
    import_reports(known, b"From: a@b.example\r\n\r\nnothing\r\n")
    made = list(house.rglob("*"))
    assert house / "directory" in made
    assert any(path.name == "lock" for path in made)
    assert {path.lstat().st_uid for path in made} == {NOBODY}


@ROOT
def test_a_key_belongs_to_whoever_owns_its_folder(base: Path) -> None:
    house = _house(base)
    assert new(NewKey("contoso.example", "s1", out=str(house / "dkim/s1.key")), True) == 0
    assert (house / "dkim/s1.key").stat().st_uid == NOBODY
    (house / "out").symlink_to(base)
    with pytest.raises(UsageError, match="cannot be written: Permission denied"):
        new(NewKey("contoso.example", "s1", out=str(house / "out/s1.key")), True)
