"""The control socket: requests of an administrator's commands."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path
from typing import Any

import pytest
import uvloop

from mta.adapters.control import ask, serve_control
from mta.errors import UsageError
from mta.observe.log import EventLog


async def handler(request: dict[str, Any]) -> dict[str, Any]:
    if request.get("fail"):
        raise UsageError("no such thing")
    if request.get("break"):
        raise ZeroDivisionError
    return {"echo": request}


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
