"""What lies beside a damaged queue, where two persons ask at once, and where not all of it is mail."""

from __future__ import annotations

import asyncio
import os
import pwd
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mta.adapters.sqlite import SqliteQueueStore, open_shard
from mta.app.load import load
from mta.app.rescue import answer_rescue
from mta.cli.rescue import RescueOptions, rescue
from mta.contract.index import ConnectorIndex
from mta.errors import UsageError
from mta.pipeline.site import Shard
from mta.ports import QueueFilter
from tests.support.mail import NOW, queued
from tests.support.programs import needs

CONFIG = """
server:
  {hostname: mx.contoso.example, listen: [{address: "127.0.0.1:25"}], workers: 1, queue: {store: "sqlite:queue"}}
domains: {contoso.example: {deliver_to: ["127.0.0.1:1"]}}
connectors: {default: {inbound: {tls: optional}, outbound: {route: mx, tls: {level: none}}}}
"""
BODY = b"Subject: large\r\n\r\n" + b"x" * 400_000
NOBODY = pwd.getpwnam("nobody")


def reopen(base: Path) -> SqliteQueueStore:
    return open_shard(base / "queue/shard-00", loop=asyncio.get_running_loop())


async def lost(base: Path, *names: str) -> None:
    """A queue that was begun anew beside these large messages."""
    (base / "connectors.yaml").write_text(CONFIG)
    store = reopen(base)
    for name in names:
        spool = store.spool()
        await spool.write(BODY)
        await store.enqueue(queued(name, "bob@contoso.example", content=spool.content(BODY[:20])))
    await store.close()
    (base / "queue/shard-00/queue.db").unlink()
    await reopen(base).close()


async def asked(store: SqliteQueueStore, base: Path, **request: Any) -> list[dict[str, Any]]:
    index = ConnectorIndex(load(str(base / "connectors.yaml")))
    parts = answer_rescue([Shard(0, store)], index, request, NOW, lambda: None)
    return [body async for part in parts for body in part["bodies"]]


async def test_who_ask_for_the_same_at_once_send_it_once(tmp_path: Path) -> None:
    await lost(tmp_path, "one", "two")
    store = reopen(tmp_path)
    answers = await asyncio.gather(*(asked(store, tmp_path, command="rescue-requeue") for _ in range(3)))
    done = [body["requeued"] for answer in answers for body in answer if body["requeued"]]
    assert sorted(done) == ["one", "two"]
    assert len(await store.search(QueueFilter())) == 2
    await store.close()


async def test_what_is_no_readable_body_hides_none_that_is(tmp_path: Path) -> None:
    await lost(tmp_path, "one", "two")
    aside = tmp_path / "queue/shard-00/content.corrupt-1"
    (aside / "folder").mkdir()
    (aside / "dangling").symlink_to("/nowhere")
    (aside / "elsewhere").symlink_to("/etc/passwd")
    os.mkfifo(aside / "fifo")
    store = reopen(tmp_path)
    assert sorted(body["id"] for body in await asked(store, tmp_path, command="rescue")) == ["one", "two"]
    await store.close()


# --- root copies what the relay's user has laid there -----------------------------------------------------------------


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def export(base: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, **told: str) -> int:
    """`mta queue rescue --export` where the worker, or its files, say this of a body."""
    body = {"name": "one", "size": 1, "recipients": None, "header": {}, "fault": "", "in_queue": [], **told}
    monkeypatch.setattr("mta.cli.rescue.ask", lambda *_: {"bodies": [body]})
    return rescue(
        RescueOptions(str(base / "connectors.yaml"), (), False, str(folder), "", (), False, False, False, True)
    )


@needs(root=True)
def test_root_copies_no_file_of_its_own_for_the_relays_user(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (base / "connectors.yaml").write_text(CONFIG.replace("hostname", "user: nobody, hostname"))
    secret, house, link = base / "secret", base / "house", base / "house/link"
    secret.write_text("root's own")
    secret.chmod(0o600)
    house.mkdir()
    os.chown(house, NOBODY.pw_uid, NOBODY.pw_gid)
    link.symlink_to(secret)
    (house / "mail").write_text("mail")
    for path in (secret, link):
        with pytest.raises(UsageError, match="cannot be written"):
            export(base, house / "copies", monkeypatch, id="one", path=str(path))
    (base / "roots").mkdir(mode=0o700)
    (house / "copies").mkdir(exist_ok=True)
    (house / "copies/into").symlink_to(base / "roots")
    with pytest.raises(UsageError):
        export(base, house / "copies/into", monkeypatch, id="one", path=str(house / "mail"))
    assert export(base, base / "roots", monkeypatch, id="../../one", path=str(house / "mail")) == 0
    assert [path.name for path in (base / "roots").iterdir()] == ["one.eml"]
