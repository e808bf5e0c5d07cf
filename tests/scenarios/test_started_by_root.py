"""`mta serve` started by root, with a user to become that has put links into its own folder."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.patience import PATIENCE
from tests.support.programs import needs
from tests.support.running_mta import running_mta

pytestmark = needs(root=True)
NOBODY = pwd.getpwnam("nobody")

CONFIG = """
server:
  {hostname: mx.contoso.example, user: nobody, listen: [{address: "127.0.0.1:{port}"}], workers: 1, watch: off,
   queue: {store: "sqlite:queue"}}
domains: {contoso.example: {deliver_to: ["127.0.0.1:1"]}}
connectors: {default: {inbound: {tls: optional}, outbound: {route: mx, tls: {level: none}}}}
"""


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


def as_nobody(script: str) -> None:
    """Run a line of shell with the rights of the relay's user."""
    subprocess.run(["sh", "-ec", script], check=True, user="nobody", group=NOBODY.pw_gid, extra_groups=())


def test_no_link_of_the_user_gives_it_a_file_of_root(base: Path) -> None:
    secrets = {name: base / f"secret-{name}" for name in ("file", "lock", "folder", "body")}
    with running_mta(base, CONFIG) as relay:
        assert (base / "queue").stat().st_uid == NOBODY.pw_uid
        assert (base / "queue/serve.lock").stat().st_uid == NOBODY.pw_uid
        assert (base / "queue/shard-00").stat().st_uid == NOBODY.pw_uid
        assert relay.command("queue", "list", check=True).stdout
    for name, path in secrets.items():
        path.mkdir(0o700) if name == "folder" else path.write_text("root's own")
        path.chmod(0o700 if name == "folder" else 0o600)
    as_nobody(
        f"cd {base}/queue; rm -rf directory serve.lock; mkdir directory; ln -s {secrets['file']} directory/x;"
        f"ln -s {secrets['folder']} directory/y; ln -s {secrets['lock']} serve.lock; ln -s {secrets['body']} shard-00/z"
    )
    with running_mta(base, CONFIG, ready=False) as relay:
        assert relay.process.wait(PATIENCE) == 2, relay.story()
        assert "Permission denied" in relay.story()
    as_nobody(f"rm {base}/queue/serve.lock")
    with running_mta(base, CONFIG) as relay:
        for words in (("queue", "list"), ("queue", "retry", "--all"), ("reports", "list"), ("directory", "list")):
            relay.command(*words)
    with running_mta(base, CONFIG, ready=False):
        pass
    relay.command("queue", "list")  # nobody serves it now: root's command opens the shard itself
    for path in secrets.values():
        assert (path.stat().st_uid, path.stat().st_mode & 0o077) == (0, 0), path
    assert {path.lstat().st_uid for path in (base / "queue").rglob("*")} == {NOBODY.pw_uid}
