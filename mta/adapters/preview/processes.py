"""ports.preview.Previews: each look in a process of its own, with little memory and time, no file, no network."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys

from mta.ports.preview import Look

_AT_ONCE = 2
_SECONDS = 20.0  # wall; the process itself has less CPU time (child.py)
_MOST_IN, _MOST_OUT = 30_000_000, 12_000_000  # octets
_HEAD = 4


class PreviewProcesses:
    """Starts, feeds and kills them."""

    def __init__(self, seconds: float = _SECONDS) -> None:
        self._seconds = seconds
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def look(self, data: bytes, kind: str, page: int, watermark: str = "") -> Look | None:
        """Page `page` of a file; None for what cannot be shown."""
        if len(data) > _MOST_IN:
            return None
        order = json.dumps({"kind": kind, "page": page, "watermark": watermark, "parent": os.getpid()}).encode()
        async with self._turn:
            return _read(await self._run(order + b"\n" + data))

    async def _run(self, told: bytes) -> bytes:
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", "mta.adapters.preview.child"),
            stdin=pipe,
            stdout=pipe,
            stderr=asyncio.subprocess.DEVNULL,
            env={"LC_ALL": "C.UTF-8"},
            cwd="/",
        )
        try:
            async with asyncio.timeout(self._seconds):
                answer, _ = await process.communicate(told)
        except TimeoutError:
            return b""
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        return answer if process.returncode == 0 else b""


def _read(answer: bytes) -> Look | None:
    """What the process says; it may be in the hands of who wrote the file, so nothing of it is believed."""
    size = int.from_bytes(answer[:_HEAD], "big")
    if len(answer) <= _HEAD or len(answer) > _MOST_OUT or size > 1000:
        return None
    try:
        head = json.loads(answer[_HEAD : _HEAD + size])
        kind, pages = str(head["type"]), int(head["pages"])
    except (ValueError, KeyError, TypeError):
        return None
    body = answer[_HEAD + size :]
    if kind == "image/png" and not body.startswith(b"\x89PNG\r\n\x1a\n"):
        return None
    return Look(kind, body, min(max(pages, 1), 100_000)) if kind in ("image/png", "text/html") else None
