"""otdf-python, a reader and writer of protected files that is not ours, against the running key server."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.key_server import BOB, EVE, KeyServer, running_key_server
from tests.support.patience import patient
from tests.support.running_mta import mta

SIZES = [0, 1, 1024 * 1024, 5 * 1024 * 1024]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KeyServer]:
    with running_key_server(tmp_path_factory.mktemp("otdf")) as running:
        yield running


def otdf(server: KeyServer, who: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Its command line, as somebody."""
    command = [sys.executable, "-W", "ignore", "-m", "otdf_python.cli", "--platform-url", server.url]
    command += ["--kas-endpoint", f"{server.url}/kas", "--plaintext"]
    command += ["--client-id", who, "--client-secret", f"{who}-s3cret", *words]
    env = {**os.environ, "NO_PROXY": "localhost,127.0.0.1"}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=patient(60))


@pytest.mark.parametrize("size", SIZES)
def test_it_reads_what_we_wrote(server: KeyServer, tmp_path: Path, size: int):
    content = secrets.token_bytes(size)
    container, _ = server.protect(content)
    (tmp_path / "ours.tdf").write_bytes(container)
    done = otdf(server, "bob", "decrypt", str(tmp_path / "ours.tdf"), "-o", str(tmp_path / "got"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got").read_bytes() == content


@pytest.mark.parametrize("size", SIZES)
def test_we_read_what_it_wrote(server: KeyServer, tmp_path: Path, size: int):
    content = secrets.token_bytes(size)
    (tmp_path / "content").write_bytes(content)
    done = otdf(server, "bob", "encrypt", str(tmp_path / "content"), "-o", str(tmp_path / "theirs.tdf"))
    assert done.returncode == 0, done.stderr
    config = str(server.folder / "connectors.yaml")
    words = ["open", str(tmp_path / "theirs.tdf"), "--out", str(tmp_path / "got"), "--config", config]
    assert mta(*words, "--as", BOB).returncode == 0
    assert (tmp_path / "got").read_bytes() == content
    again = otdf(server, "bob", "decrypt", str(tmp_path / "theirs.tdf"), "-o", str(tmp_path / "again"))
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "again").read_bytes() == content
    (tmp_path / "got").unlink()
    assert mta(*words, "--as", EVE).returncode == 1  # it belongs to whoever asked first, and nobody else was named


def test_who_may_not_read_gets_nothing(server: KeyServer, tmp_path: Path):
    container, item = server.protect(b"x")
    (tmp_path / "ours.tdf").write_bytes(container)
    words = ("decrypt", str(tmp_path / "ours.tdf"), "-o", str(tmp_path / "got"))
    assert otdf(server, "eve", *words).returncode != 0
    assert otdf(server, "bob", *words).returncode == 0
    (tmp_path / "got").unlink()
    server.command("protected", "revoke", item["item"])
    assert otdf(server, "bob", *words).returncode != 0
    assert not (tmp_path / "got").exists()
