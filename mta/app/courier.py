"""The portal's mail: handed to a worker of our own relay over its control socket, which queues it before it answers.

The socket is there wherever the queue is, belongs to the relay's user alone and asks nobody to let us relay: a
listener on loopback would need a connector for that. An answer may be large, so it lies in a file of the queue's folder
until the worker has taken it.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from mta.adapters.control import ask
from mta.app.folders import control_paths, state_folder
from mta.contract.configuration import Configuration
from mta.errors import NotOpened, StorageError, Unanswered
from mta.ports.portal import Answer

FOLDER = "portal"  # beside the shards
_OLD = 3600.0  # seconds


class RelayCourier:
    """ports.portal.Courier through the queue of this configuration."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration

    async def send_code(self, to: str, message: bytes) -> None:
        """A code, into the queue."""
        request = {"command": "portal-code", "to": to, "message": base64.b64encode(message).decode("ascii")}
        await asyncio.to_thread(self._hand_over, request)

    async def send_answer(self, answer: Answer) -> None:
        """An answer, through everything that mail coming in goes through."""
        await asyncio.to_thread(self._send_answer, answer)

    def _send_answer(self, answer: Answer) -> None:
        folder = state_folder(self._configuration) / FOLDER
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            _forget_old(folder)
            descriptor, path = tempfile.mkstemp(".eml", dir=folder)
            with open(descriptor, "wb") as file:
                file.write(answer.data)
        except OSError as error:
            raise StorageError(f"an answer cannot be handed over: {error.strerror}") from error
        try:
            told = self._hand_over(
                {
                    "command": "portal-answer",
                    "to": list(answer.to),
                    "file": Path(path).name,
                    "ip": answer.ip,
                    "reader": answer.reader,
                }
            )
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        if "refused" in told:
            raise NotOpened("refused", str(told["refused"]))

    def _hand_over(self, request: dict[str, Any]) -> dict[str, Any]:
        """Ask one worker after the other until one has taken it. Raises UsageError for its refusal, Unanswered."""
        for _, path in control_paths(self._configuration):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
                return ask(path, request)
        raise Unanswered("no worker of the relay is running: the portal's mail cannot be sent")


def _forget_old(folder: Path) -> None:
    """What a process left that died between writing and handing over; nobody was told that it was sent."""
    before = time.time() - _OLD
    for path in folder.glob("*.eml"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                path.unlink()
