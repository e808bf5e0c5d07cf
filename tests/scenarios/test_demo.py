"""What a newcomer does first: the demo, then the lines of the README against it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from mta.cli.demo.words import TRIES
from mta.cli.demo.world import free_ports, template, with_ports
from tests.support.patience import PATIENCE, patient

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
MTA = (sys.executable, "-m", "mta")
PORTS = (2525, 4650, 2625, 3525, 8443)
LINE = re.compile(r"^# (?P<title>.+)\n(?P<command>swaks .+)\n# -> (?P<expect>.+)$", re.MULTILINE)
LINES = [found.group("title", "command", "expect") for found in LINE.finditer(README)]


def until(what: Callable[[], bool], story: Callable[[], str]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, story()
        time.sleep(0.05)


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


@dataclass
class Demo:
    folder: Path
    ports: dict[int, int]
    process: subprocess.Popen[bytes]
    output: Path

    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, words: str) -> None:
        until(lambda: words in self.text() or self.process.poll() is not None, lambda: f"{words}?\n{self.text()}")
        assert words in self.text(), self.text()


def start(folder: Path) -> Demo:
    """`mta demo --config` on the repository's connectors.yaml, its ports exchanged for free ones."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    text = with_ports((ROOT / "connectors.yaml").read_text(), ports)
    (folder / "connectors.yaml").write_text(text)
    output = folder / "output"
    with output.open("wb") as sink:
        process = subprocess.Popen((*MTA, "demo", "--config", "connectors.yaml"), cwd=folder, stdout=sink, stderr=sink)
    return Demo(folder, ports, process, output)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Demo]:
    demo = start(folder)
    try:
        demo.wait_for("Both relays stay up until Ctrl-C")
        yield demo
    finally:
        demo.process.send_signal(signal.SIGTERM)
        demo.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running(tmp_path_factory.mktemp("demo")) as ready:
        yield ready


def test_the_wheel_alone_sends_a_message_by_verified_tls_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """As `pip install` would lay it out: nothing but what the wheel holds is needed."""
    build = "import sys; from hatchling.build import build_wheel; print(build_wheel(sys.argv[1]))"
    built = subprocess.run(
        (sys.executable, "-c", build, str(tmp_path)), cwd=ROOT, capture_output=True, text=True, timeout=patient(60)
    )
    wheel = tmp_path / built.stdout.split()[-1]
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "installed")
    place = tmp_path / "place"
    place.mkdir()
    environment = {**os.environ, "TMPDIR": str(place), "PYTHONPATH": str(tmp_path / "installed")}
    options = {"capture_output": True, "text": True, "timeout": patient(60), "cwd": place, "env": environment}
    told = subprocess.run((sys.executable, "-c", "import mta; print(mta.__file__)"), check=True, **options)
    assert told.stdout.startswith(str(tmp_path))
    done = subprocess.run((*MTA, "demo", "--once"), check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "Fabrikam's mailbox host got" in done.stdout
    ours, theirs = done.stdout.split("What Contoso's relay knows of it")[1].split("What Fabrikam's relay knows of it")
    assert "required verified:mail.fabrikam.example: tls=verified" in ours
    assert "the host showed CN=mail.fabrikam.example" in ours
    assert "signed with rsa-pkcs1-sha256" in ours
    assert "encrypted (aes256-cbc) to partner@fabrikam.example by folder" in ours
    assert "under connector contoso" in theirs
    assert "the client showed CN=mx.contoso.example" in theirs
    assert "required verified:mailbox.fabrikam.example: tls=verified" in theirs
    assert "\x1b[" not in done.stdout
    assert list(place.iterdir()) == []


def test_the_repositorys_configuration_is_the_demos() -> None:
    assert (ROOT / "connectors.yaml").read_text() == template("contoso")


def test_the_readme_shows_the_lines_that_the_demo_prints() -> None:
    assert [(one.title, one.command, one.expect) for one in TRIES] == LINES


@pytest.mark.peer
@pytest.mark.xdist_group("demo")
@pytest.mark.parametrize(("title", "command", "expect"), LINES, ids=[line[0] for line in LINES])
def test_a_line_of_the_readme_gives_what_it_promises(demo: Demo, title: str, command: str, expect: str) -> None:
    if shutil.which("swaks") is None:
        pytest.skip("swaks is not installed: apt-get install swaks")
    done = subprocess.run(
        with_ports(command, demo.ports), shell=True, cwd=demo.folder, capture_output=True, text=True, timeout=60
    )
    assert expect in done.stdout, done.stdout + done.stderr
    assert (done.returncode != 0) == title.startswith("refused"), done.stdout


@pytest.mark.xdist_group("demo")
def test_a_guest_without_a_certificate_reads_in_the_portal(demo: Demo) -> None:
    """Notice, address, code, open: also where the contract encrypts everything, the code must get through."""
    mailbox = demo.folder / "var/mailboxes/fabrikam.example"

    def found(pattern: str, sender: str) -> list[str]:
        texts = [path.read_text() for path in sorted(mailbox.glob("*.eml"))]
        return [match[1] for text in texts if sender in text[:200] for match in re.finditer(pattern, text)]

    def next_one(pattern: str, sender: str, before: int) -> str:
        until(lambda: len(set(found(pattern, sender))) > before, demo.text)
        return list(dict.fromkeys(found(pattern, sender)))[-1]

    notices, codes = r"(http://127\.0\.0\.1:\d+/m/[a-z2-7]{26})", r"code is (\d{8})(?!\d)"
    before = len(set(found(notices, "<alice@")))
    with smtplib.SMTP("127.0.0.1", demo.ports[2525], timeout=patient(20)) as client:
        text = "Subject: the plan\r\n\r\nfor you alone\r\n"
        client.sendmail("alice@contoso.example", ["guest@fabrikam.example"], text)
    link = next_one(notices, "<alice@", before)
    base, opener = link.partition("/m/")[0], urllib.request.build_opener(urllib.request.HTTPCookieProcessor())

    def post(url: str, **form: str) -> tuple[str, str]:
        request = urllib.request.Request(url, urlencode(form).encode(), {"Origin": base})
        with opener.open(request, timeout=patient(20)) as answer:
            return answer.geturl(), answer.read().decode()

    post(f"{link}/start", address="guest@fabrikam.example")
    place, _ = post(f"{link}/code", code=next_one(codes, "Return-Path: <>", 0))
    post(f"{place}/open")
    with opener.open(f"{place}/text", timeout=patient(20)) as answer:
        assert "for you alone" in answer.read().decode()


@pytest.mark.xdist_group("demo")
def test_the_demos_files_are_where_the_readme_says_and_keys_are_private(demo: Demo) -> None:
    assert list((demo.folder / "var/mailboxes/fabrikam.example").glob("*.eml"))
    keys = list((demo.folder / "certs").glob("*.key"))
    assert len(keys) == 7
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}


@pytest.mark.xdist_group("demo")
@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("check",), "connectors.yaml: good"),
        (("trace", "--to", "partner@fabrikam.example"), "tls=verified"),
        (("queue", "list"), "nothing waits"),
    ],
)
def test_the_first_ten_minutes(demo: Demo, command: tuple[str, ...], words: str) -> None:
    done = subprocess.run(
        (*MTA, *command), cwd=demo.folder, capture_output=True, text=True, timeout=patient(60), check=True
    )
    assert words in done.stdout


TEN_MINUTES = [
    line.strip()
    for line in README.partition("## The first ten minutes")[2].partition("\n## ")[0].splitlines()
    if line.startswith("    mta ")
]


@pytest.mark.xdist_group("demo")
def test_every_line_of_the_first_ten_minutes_runs_as_it_stands(demo: Demo) -> None:
    """In their order, by a shell, while the demo is up: each answers, and needs nothing that is not here."""
    assert len(TEN_MINUTES) > 10
    tools = demo.folder / "bin"
    tools.mkdir()
    (tools / "mta").write_text(f'#!/bin/sh\nexec {sys.executable} -m mta "$@"\n')
    (tools / "mta").chmod(0o755)
    (demo.folder / "docs").symlink_to(ROOT / "docs")
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    for line in TEN_MINUTES:
        done = subprocess.run(
            line,
            shell=True,
            cwd=demo.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=patient(60),
            check=False,
        )
        told = f"{line}\n{done.stdout}{done.stderr}"
        answer_is_no = "explain" in line or "suggest" in line  # it would be refused; there is nothing to suggest
        assert done.returncode == (1 if answer_is_no else 0), told
        assert done.stdout or "suggest" in line or ">" in line, told
        assert "No such file" not in done.stderr, told


@pytest.mark.xdist_group("demo")
def test_explain_says_what_the_readme_says(demo: Demo) -> None:
    line = next(line for line in README.splitlines() if line.strip().startswith("mta explain"))
    words = line.split()[1:]
    done = subprocess.run(
        (*MTA, *words), cwd=demo.folder, capture_output=True, text=True, timeout=patient(60), check=False
    )
    assert done.returncode == 1
    promised = README.split("```\ninbound: refuse")[1].split("\n```")[0]
    for expected in ("inbound: refuse" + promised).replace(".../certs", str(demo.folder / "certs")).splitlines():
        assert expected in done.stdout


@pytest.mark.xdist_group("demo")
def test_a_second_demo_on_the_same_ports_says_what_is_wrong(demo: Demo) -> None:
    again = (*MTA, "demo", "--config", "connectors.yaml", "--once")
    done = subprocess.run(again, cwd=demo.folder, capture_output=True, text=True, timeout=patient(60), check=False)
    assert done.returncode == 2
    assert "in use by another process: is a demo running already?" in done.stderr


def test_a_relay_port_in_use_is_named(tmp_path: Path) -> None:
    demo_ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    (tmp_path / "connectors.yaml").write_text(with_ports(template("contoso"), demo_ports))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", demo_ports[2525]))
        taken.listen()
        command = (*MTA, "demo", "--config", "connectors.yaml", "--once")
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=patient(60), check=False)
    assert done.returncode == 1
    assert f"127.0.0.1 port {demo_ports[2525]} is in use by another process" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_the_demo_ends_no_process_of_it_is_left(number: signal.Signals, tmp_path: Path) -> None:
    with running(tmp_path) as ready:
        children = descendants(ready.process.pid)
        assert len(children) >= 4  # two relays with a worker each, at the least
        ready.process.send_signal(number)
        assert ready.process.wait(PATIENCE) == (-number if number is signal.SIGKILL else 0)
        until(lambda: not any(map(alive, children)), ready.text)
