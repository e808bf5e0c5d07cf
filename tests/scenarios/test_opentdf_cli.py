"""npm's @opentdf/cli, the official program of 2024, against the running key server: both ways, older protocol."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.key_server import BOB, KeyServer, running_key_server
from tests.support.patience import patient
from tests.support.programs import needs
from tests.support.running_mta import mta

VERSION = "2.0.0-beta.1412"
SIZES = [0, 1, 1024 * 1024, 5 * 1024 * 1024]
pytestmark = [pytest.mark.peer, needs("node", "npm")]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("npm")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", f"@opentdf/cli@{VERSION}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=patient(120))
    assert done.returncode == 0, done.stderr
    return folder / "node_modules/@opentdf/cli/bin/opentdf.mjs"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyServer]:
    with running_key_server(tmp_path_factory.mktemp("opentdf")) as running:
        yield running


@pytest.fixture
def opentdf(program: Path, server: KeyServer):
    def run(who: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = ["node", str(program), "--kasEndpoint", f"{server.url}/kas"]
        command += ["--oidcEndpoint", f"{server.url}/auth/realms/opentdf", "--auth", f"{who}:{who}-s3cret"]
        env = {**os.environ, "NO_PROXY": "localhost,127.0.0.1"}
        command += ["-t", "tdf3", *words]
        return subprocess.run(command, capture_output=True, text=True, env=env, timeout=patient(60))

    return run


@pytest.mark.parametrize("size", SIZES)
def test_it_reads_what_we_wrote(server: KeyServer, opentdf, tmp_path: Path, size: int):
    content = secrets.token_bytes(size)
    container, _ = server.protect(content, "open", BOB, "--spelling", "4.2")
    (tmp_path / "ours.tdf").write_bytes(container)
    done = opentdf("bob", "--output", str(tmp_path / "got"), "decrypt", str(tmp_path / "ours.tdf"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got").read_bytes() == content


@pytest.mark.parametrize("size", SIZES)
def test_we_read_what_it_wrote(server: KeyServer, opentdf, tmp_path: Path, size: int):
    content = secrets.token_bytes(size)
    (tmp_path / "content").write_bytes(content)
    words = ("--users-with-access", BOB, "--output", str(tmp_path / "theirs.tdf"), "encrypt", str(tmp_path / "content"))
    done = opentdf("alice", *words)
    assert done.returncode == 0, done.stderr
    config = str(server.folder / "connectors.yaml")
    words = ("open", str(tmp_path / "theirs.tdf"), "--out", str(tmp_path / "got"), "--config", config)
    opened = mta(*words, "--as", BOB, check=False)
    assert opened.returncode == 0, opened.stderr
    assert (tmp_path / "got").read_bytes() == content


def test_who_may_not_read_gets_nothing(server: KeyServer, opentdf, tmp_path: Path):
    container, item = server.protect(b"secret", "open", BOB, "--spelling", "4.2")
    (tmp_path / "ours.tdf").write_bytes(container)
    words = ("--output", str(tmp_path / "got"), "decrypt", str(tmp_path / "ours.tdf"))
    opentdf("eve", *words)
    assert not (tmp_path / "got").exists() or (tmp_path / "got").read_bytes() == b""
    assert opentdf("bob", *words).returncode == 0
    (tmp_path / "got").unlink()
    server.command("protected", "revoke", item["item"])
    opentdf("bob", *words)
    assert not (tmp_path / "got").exists() or (tmp_path / "got").read_bytes() == b""


def test_a_file_that_was_changed_is_refused_by_it(server: KeyServer, opentdf, tmp_path: Path):
    container, _ = server.protect(b"secret" * 1000, "open", BOB, "--spelling", "4.2")
    changed = bytearray(container)
    changed[200] ^= 1
    (tmp_path / "bad.tdf").write_bytes(changed)
    opentdf("bob", "--output", str(tmp_path / "got"), "decrypt", str(tmp_path / "bad.tdf"))
    assert not (tmp_path / "got").exists() or b"secret" not in (tmp_path / "got").read_bytes()
