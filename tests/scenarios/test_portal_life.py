"""The portal on its own: sockets of systemd, started by root, what it counts, what it raises alarms for."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.test_portal import TEXT
from tests.scenarios.test_processes import activated, listening
from tests.support.patience import PATIENCE
from tests.support.portal import BOB, CONFIG, Browser, running_portal
from tests.support.programs import needs
from tests.support.running_mta import free_port, mta, until


def text_for(web: int, port: int = 10) -> str:
    return CONFIG.replace("{web}", str(web)).replace("{port}", str(port)).replace("{sink}", "9")


def healthy(web: int) -> bool:
    try:
        return Browser(web).get("/healthz")[0] == 200
    except OSError:
        time.sleep(0.05)
        return False


@pytest.mark.parametrize("portal_first", [True, False])
def test_the_portal_s_socket_comes_from_systemd(tmp_path: Path, portal_first: bool) -> None:
    with listening() as mail, listening() as pages:
        web = pages.getsockname()[1]
        text = text_for(web, mail.getsockname()[1])
        given = (pages, mail) if portal_first else (mail, pages)
        (tmp_path / "connectors.yaml").write_text(text)
        mta("keys", "root", "create", "r1", "--config", str(tmp_path / "connectors.yaml"), check=True)
        with activated(tmp_path, text, *given):
            until(lambda: healthy(web), describe=lambda: (tmp_path / "log").read_text())
            with socket.create_connection(mail.getsockname(), PATIENCE) as client:
                assert client.recv(200).startswith(b"220 ")


@pytest.fixture
def base() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@needs(root=True)
def test_started_by_root_it_becomes_the_user(base: Path) -> None:
    web = free_port()
    house = base / "house"
    house.mkdir()
    os.chown(house, pwd.getpwnam("nobody").pw_uid, -1)
    text = text_for(web).replace("hostname:", "user: nobody\n  hostname:")
    text = text.replace(
        "protection:\n", f"protection:\n  store: 'sqlite:{house}/vault'\n  signing_key: {house}/policy.key\n"
    )
    text = text.replace("keys/r1.key", f"{house}/r1.key")
    path = base / "connectors.yaml"
    path.write_text(text)
    mta("keys", "root", "create", "r1", "--config", str(path), check=True)
    command = [sys.executable, "-m", "mta", "web", "--config", str(path)]
    process = subprocess.Popen(command, stderr=(base / "log").open("wb"))
    try:
        until(lambda: healthy(web), describe=lambda: (base / "log").read_text())
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert f"Uid:\t{pwd.getpwnam('nobody').pw_uid}\t" in status
    finally:
        process.terminate()
        process.wait(PATIENCE)


def test_what_is_counted_names_nobody_and_a_code_that_does_not_come_is_an_alarm(tmp_path: Path) -> None:
    numbers = free_port()
    text = CONFIG.replace("workers: 1", f'workers: 1\n  metrics: {{address: "127.0.0.1:{numbers}"}}')
    with running_portal(tmp_path, text) as portal:
        mail = portal.mail(TEXT)
        browser = portal.opened(mail)
        browser.get(f"/v/{mail.item}")
        portal.relay.command("protected", "revoke", mail.item, "--reader", BOB, check=True)
        assert browser.get(f"/v/{mail.item}")[0] == 410

        def counted() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{numbers}/metrics", timeout=PATIENCE) as answer:
                page: str = answer.read().decode()
            return page if 'what="open",result="refused-revoked"' in page else ""

        page = until(counted, describe="the page of metrics has it")
        assert 'mta_portal_total{what="open",result="permitted"} 1' in page
        assert 'mta_portal_total{what="code",result="right"} 1' in page
        assert "fabrikam" not in "".join(line for line in page.splitlines() if "portal" in line)
        told = portal.relay.seen("portal")
        assert not [line for line in told if BOB in str(line) or mail.item in str(line) or mail.links[BOB] in str(line)]
        portal.sink.script.recipients[BOB] = "550 5.1.1 no such user"
        portal.browser().post(f"/m/{mail.links[BOB]}/start", address=BOB)
        alarm = until(lambda: portal.relay.seen("alarm", alarm="portal.code"), describe=lambda: portal.relay.story())
        assert "does not reach its reader" in alarm[0]["text"]
