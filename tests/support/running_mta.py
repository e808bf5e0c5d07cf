"""The real `mta serve` on a connectors.yaml written inline, for scenario tests."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from tests.support.patience import PATIENCE, patient
from tests.support.zygote import Forked, same_shape, spawn

_CHANCE = random.SystemRandom()  # tests run side by side: each must come to ports of its own


def free_port() -> int:
    """A port nobody uses at this moment, of those that the kernel gives to nobody by itself (ip(7): from 32768 on)."""
    while True:
        port = _CHANCE.randrange(10_000, 32_768)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def until(what: Callable[[], Any], seconds: float = PATIENCE, *, describe: str | Callable[[], str] = "") -> Any:
    """Ask again and again, up to `seconds`, until the answer is true; that answer."""
    end = time.monotonic() + seconds
    while True:
        answer = what()
        if answer:
            return answer
        if time.monotonic() > end:
            words = describe() if callable(describe) else describe
            raise AssertionError(f"did not happen within {seconds:g} s: {words or what}")
        time.sleep(0.02)


@dataclass
class RunningMta:
    """A relay under test. `events` are its log lines so far, parsed."""

    folder: Path
    config: Path
    port: int
    process: subprocess.Popen[bytes] | Forked
    events: list[dict[str, Any]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    reader: threading.Thread | None = None

    def wait_for(self, event: str, seconds: float = PATIENCE, **fields: Any) -> dict[str, Any]:
        """The first log line with this event name and these fields."""
        found: dict[str, Any] = until(
            lambda: next((line for line in tuple(self.events) if _fits(line, event, fields)), None),
            seconds,
            describe=lambda: f"{event} {fields}; the log says:\n{self.story()}",
        )
        return found

    def seen(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """All log lines with this event name and these fields so far."""
        self._hear_out()
        return [line for line in tuple(self.events) if _fits(line, event, fields)]

    def story(self) -> str:
        """The last of the log."""
        self._hear_out()
        return "\n".join(self.raw[-60:])

    def _hear_out(self) -> None:
        """What has ended has said its last word, but not all of it may have been read."""
        if self.reader is not None and self.process.poll() is not None:
            self.reader.join(patient(5))

    def command(self, *words: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        """Run an mta command on this relay's configuration."""
        return mta(*words, "--config", str(self.config), check=check)

    def ask(self, *words: str) -> Any:
        """Run a command with --json; the document."""
        return json.loads(self.command(*words, "--json", check=True).stdout)

    def reload(self, text: str | None = None) -> None:
        """Write a new connectors.yaml (if given) and send SIGHUP."""
        if text is not None:
            self.config.write_text(textwrap.dedent(text))
        self.process.send_signal(signal.SIGHUP)

    def stop(self, seconds: float = PATIENCE) -> int:
        """SIGTERM and wait; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """SIGKILL to the supervisor alone; its workers must follow by themselves."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def workers(self) -> list[int]:
        """Process ids of its workers."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]


@dataclass(frozen=True)
class Python:
    """Another interpreter for the relay, with the PYTHONPATH that it needs to find it."""

    program: str
    path: str = ""


def _fits(line: dict[str, Any], event: str, fields: dict[str, Any]) -> bool:
    return line.get("event") == event and all(line.get(name) == value for name, value in fields.items())


def mta(*words: str, check: bool = False, cwd: Path | None = None, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run one mta command to its end, with an empty input unless `options` of subprocess.run say something else."""
    command = [sys.executable, "-m", "mta", *words]
    if options or not same_shape(os.environ):
        how = {"stdin": subprocess.DEVNULL, "timeout": patient(60), **options}
        return subprocess.run(command, capture_output=True, text=True, check=check, cwd=cwd, **how)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull, "rb") as empty:
        process = spawn(words, (empty.fileno(), out.fileno(), err.fileno()), cwd=cwd)
        try:
            code = process.wait(patient(60))
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        done = subprocess.CompletedProcess(command, code, _text(out), _text(err))
    if check:
        done.check_returncode()
    return done


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode().replace("\r\n", "\n")


def _serve(config: Path, python: Python | None, forked: bool) -> subprocess.Popen[bytes] | Forked:
    """`mta serve` with standard error in a pipe."""
    if forked and python is None and same_shape(os.environ):
        reads, writes = os.pipe()
        with open(writes, "wb") as end:
            return spawn(["serve", "--config", str(config)], (0, 1, end.fileno()), stderr=open(reads, "rb"))
    python = python or Python(sys.executable)
    return subprocess.Popen(
        [python.program, "-m", "mta", "serve", "--config", str(config)],
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **({"PYTHONPATH": python.path} if python.path else {})},
    )


@contextlib.contextmanager
def running_mta(
    folder: Path,
    text: str,
    *,
    port: int | None = None,
    ready: bool = True,
    python: Python | None = None,
    forked: bool = True,
) -> Iterator[RunningMta]:
    """Start the relay in `folder` with connectors.yaml `text` (`{port}` is filled in); it is drained at the end.

    It is forked from a process that has imported it already; with `forked=False`, or another `python`, it is the true
    command.
    """
    port = port or free_port()
    config = folder / "connectors.yaml"
    config.write_text(textwrap.dedent(text).replace("{port}", str(port)))
    process = _serve(config, python, forked)
    relay = RunningMta(folder, config, port, process)
    relay.reader = reader = threading.Thread(target=_read, args=(relay,), daemon=True)
    reader.start()
    try:
        if ready:
            until(
                lambda: relay.seen("server.ready") or process.poll() is not None,
                describe=lambda: f"the relay is ready; it says:\n{relay.story()}",
            )
            assert process.poll() is None, f"the relay did not start:\n{relay.story()}"
        yield relay
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        reader.join(patient(5))


def _read(relay: RunningMta) -> None:
    assert relay.process.stderr is not None
    for raw in relay.process.stderr:
        line = raw.decode("utf-8", "replace").rstrip("\n")
        relay.raw.append(line)
        with contextlib.suppress(ValueError):
            document = json.loads(line)
            if isinstance(document, dict):
                relay.events.append(document)
