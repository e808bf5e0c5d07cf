"""The control socket: requests of an administrator's commands."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from mta.adapters import control
from mta.adapters.control import ask, parts, serve_control
from mta.errors import Unanswered, UsageError
from mta.observe.log import EventLog


async def handler(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    if request.get("fail"):
        raise UsageError("no such thing")
    if request.get("break"):
        raise ZeroDivisionError
    yield {"echo": request}


async def asked(path: Path, *requests: dict[str, Any]) -> list[Any]:
    server = await serve_control(str(path), handler, EventLog(os.open(os.devnull, os.O_WRONLY)))
    answers: list[Any] = []
    async with server:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for request in requests:
            try:
                answers.append(await asyncio.to_thread(ask, str(path), request))
            except UsageError as error:
                answers.append(str(error))
    return answers


async def test_a_request_is_answered_and_a_refusal_is_the_askers(tmp_path: Path) -> None:
    answers = await asked(tmp_path / "control.sock", {"a": 1}, {"fail": True}, {"break": True})
    assert answers == [{"echo": {"a": 1}}, "no such thing", "internal error, see the log: ZeroDivisionError"]


@pytest.mark.parametrize("loops", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("length", [107, 108, 300])
def test_the_queues_folder_may_be_as_deep_as_it_likes(length: int, loops: Any, tmp_path: Path) -> None:
    missing = length - len(str(tmp_path / "control.sock"))
    folder = tmp_path
    while missing > 0:
        name = "d" * min(max(missing - 1, 1), 100)
        folder, missing = folder / name, missing - len(name) - 1
    folder.mkdir(parents=True, exist_ok=True)
    assert len(str(folder / "control.sock")) >= length
    with asyncio.Runner(loop_factory=loops) as runner:
        assert runner.run(asked(folder / "control.sock", {"a": 1})) == [{"echo": {"a": 1}}]


async def test_a_leftover_of_a_dead_worker_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    path.write_text("")
    assert await asked(path, {"a": 1}) == [{"echo": {"a": 1}}]


def test_nobody_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(OSError):
        ask(str(tmp_path / "control.sock"), {})


async def test_an_answer_comes_in_parts_and_a_busy_worker_gives_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_PULSE", 0.01)
    pulses = asyncio.Event()

    async def slow(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        yield {"changed": ["a"]}
        await pulses.wait()
        yield {"changed": ["b"]}

    path = str(tmp_path / "control.sock")
    async with await serve_control(path, slow, EventLog(os.open(os.devnull, os.O_WRONLY))):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"{}\n")
        assert [await reader.readline() for _ in range(3)] == [b'{"changed": ["a"]}\n', b"{}\n", b"{}\n"]
        pulses.set()
        rest = (await reader.read()).splitlines()
        writer.close()
        assert rest[-2:] == [b'{"changed": ["b"]}', b'{"end": true}']
        whole = await asyncio.to_thread(lambda: list(parts(path, {})))
        assert whole == [{"changed": ["a"]}, {"changed": ["b"]}]


async def test_who_leaves_ends_the_command_and_the_worker_lives_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_PULSE", 0.01)
    ended = asyncio.Event()

    async def endless(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        try:
            while not request:
                await asyncio.sleep(0)
                yield {"changed": ["a" * 1000]}
            yield {"echo": request}
        finally:
            ended.set()

    path = str(tmp_path / "control.sock")
    async with await serve_control(path, endless, EventLog(os.open(os.devnull, os.O_WRONLY))):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"{}\n")
        await reader.readline()
        writer.close()
        async with asyncio.timeout(60):
            await ended.wait()
        assert await asyncio.to_thread(ask, path, {"a": 1}) == {"echo": {"a": 1}}


def peer(path: Path, answer: bytes, stay: threading.Event) -> threading.Thread:
    """A worker that answers this, and then nothing more."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.listen()

    def serve() -> None:
        with listening, listening.accept()[0] as channel:
            channel.recv(1000)
            channel.sendall(answer)
            stay.wait(60)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize("answer", [b"", b'{"changed": ["a"]}\n', b'{"changed": ["a"]}\n{"chan'])
@pytest.mark.parametrize(("silent", "words"), [(True, "said nothing for"), (False, "closed|heard to the end")])
def test_a_worker_that_is_there_and_is_not_heard_to_the_end_is_not_nobody(
    answer: bytes, silent: bool, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files are its own: an error of the system would have them opened."""
    monkeypatch.setattr(control, "_PATIENCE", 0.2)
    stay = threading.Event()
    if not silent:
        stay.set()
    worker, heard = peer(tmp_path / "control.sock", answer, stay), []

    def hear() -> None:
        for part in parts(str(tmp_path / "control.sock"), {}):
            heard.append(part)

    with pytest.raises(Unanswered, match=words):
        hear()
    stay.set()
    worker.join()
    assert heard == ([{"changed": ["a"]}] if answer else [])
