"""Two persons open what was not for them: the auditor's mail lies in the queue before the file is there."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from mta.adapters.sqlite import open_shard
from tests.scenarios.test_protect_files import BOB, CONFIG, done, mta
from tests.support.running_mta import free_port, running_mta

AUDITOR = "auditor@contoso.example"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    more = f"  super_user: true\n  auditor: {AUDITOR}\n"
    (tmp_path / "connectors.yaml").write_text(CONFIG + more)
    (tmp_path / "report.txt").write_bytes(b"the plan\n")
    done(tmp_path, "keys", "root", "create", "r1")
    done(tmp_path, "protect", "report.txt", "--label", "confidential", "--to", BOB)
    return tmp_path


async def make_queue(folder: Path) -> None:
    shard = folder / "var" / "queue" / "shard-00"
    shard.mkdir(parents=True)
    await open_shard(shard, loop=asyncio.get_running_loop()).close()


def super_user(folder: Path, *words: str) -> dict[str, str]:
    told: dict[str, str] = json.loads(done(folder, "protected", "super-user", *words, "--json"))
    return told


def opening(folder: Path) -> tuple[str, ...]:
    return ("open", "report.txt.tdf", "--super-user", "--as", "carol", "--out", "copy.txt")


def test_without_a_queue_no_leave_begins(folder: Path):
    leave = super_user(folder, "request", "--reason", "bob has left", "--by", "carol")
    refused = mta(folder, "protected", "super-user", "approve", leave["id"], "--by", "dave")
    assert refused.returncode != 0
    assert "auditor@contoso.example cannot be told" in refused.stderr
    assert mta(folder, *opening(folder)).returncode == 1
    assert not (folder / "copy.txt").exists()


def test_the_mail_is_there_before_the_file(folder: Path):
    asyncio.run(make_queue(folder))
    leave = super_user(folder, "request", "--reason", "bob has left", "--for", "30m", "--by", "carol")
    assert mta(folder, "protected", "super-user", "approve", leave["id"], "--by", "carol").returncode == 2
    assert super_user(folder, "approve", leave["id"], "--by", "dave")["state"] == "in-force"
    done(folder, *opening(folder))
    assert (folder / "copy.txt").read_bytes() == b"the plan\n"
    queued = json.loads(done(folder, "queue", "list", "--json"))
    messages = queued["messages"] if isinstance(queued, dict) else queued
    assert [one["recipients"][0]["address"] for one in messages] == [AUDITOR, AUDITOR]
    assert super_user(folder, "end", leave["id"], "--by", "dave")["state"] == "ended"
    assert mta(folder, *opening(folder)[:-1], "again.txt").returncode == 1
    operations = [event["op"] for event in json.loads(done(folder, "log", "list", "--json"))]
    assert operations == ["key.create", "protect", *["super-user"] * 5]


def test_a_running_relay_takes_the_mail_and_goes_on(folder: Path):
    port = free_port()
    text = (folder / "connectors.yaml").read_text()
    listen = f'server: {{hostname: mx.contoso.example, workers: 1, listen: [{{address: "127.0.0.1:{port}"}}]}}\n'
    text = text.replace("server: {hostname: mx.contoso.example}\n", listen)
    with running_mta(folder, text) as relay:
        leave = super_user(folder, "request", "--reason", "bob has left", "--by", "carol")
        super_user(folder, "approve", leave["id"], "--by", "dave")
        done(folder, *opening(folder))
        told = relay.ask("queue", "list", "--json")
        messages = told["messages"] if isinstance(told, dict) else told
        assert [one["recipients"][0]["address"] for one in messages] == [AUDITOR, AUDITOR]
