"""Large mail that is written anew on arrival leaves nothing behind, be it taken or refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.client import client
from tests.support.running_mta import RunningMta, running_mta, until
from tests.support.smtp_peer import smtp_peer

CONFIG = """
server:
  hostname: mx.contoso.example
  listen: [{{address: "127.0.0.1:{{port}}"}}]
  workers: 1
  watch: off
domains: {{contoso.example: {{deliver_to: ["127.0.0.1:{peer}"]}}}}
connectors:
  default: {{inbound: {{tls: optional}}, outbound: {{route: mx, tls: {{level: none}}}}}}
  fabrikam: {{domains: [fabrikam.example], inbound: {{networks: [192.0.2.0/24]}}}}
"""
FORGED = "Authentication-Results: mx.contoso.example; dkim=pass\r\nFrom: {}\r\nSubject: x\r\n\r\n"
LARGE = (b"y" * 76 + b"\r\n") * 9000


def left(relay: RunningMta) -> tuple[int, int]:
    """Descriptors of contents that a worker holds, and files of contents."""
    (worker,) = relay.workers()
    folder = Path(f"/proc/{worker}/fd")
    held = sum("/content/" in os.readlink(each) for each in folder.iterdir() if each.is_symlink())
    return held, len([each for each in relay.folder.rglob("content/*") if each.is_file()])


@pytest.mark.parametrize(("author", "code"), [("eve@stranger.example", "250"), ("bob@fabrikam.example", "550")])
def test_a_forged_field_in_large_mail_leaks_nothing(author: str, code: str, tmp_path: Path) -> None:
    with smtp_peer() as home, running_mta(tmp_path, CONFIG.format(peer=home.port)) as relay:
        for _ in range(5):
            with client(relay.port) as session:
                sent = session.send(
                    "eve@stranger.example", ["a@contoso.example"], FORGED.format(author).encode() + LARGE
                )
            assert sent.data.startswith(code)
        if code == "250":
            assert all(b"dkim=pass" not in each.data for each in home.wait_for(5))
        until(lambda: left(relay) == (0, 0))
