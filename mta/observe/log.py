"""One event a line: JSON for machines, words for a terminal.

Lines are gathered while the event loop turns and written together; a write to a pipe is kept within PIPE_BUF so
that lines of several worker processes never mix.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import select
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from pydantic_core import to_json

from mta.observe import events
from mta.observe.metrics import Metrics
from mta.observe.ring import Ring

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SECRET_KEYS = frozenset({"password", "secret", "token", "key_pem", "authorization"})
_BRIGHT = {"info": "\x1b[32m", "warning": "\x1b[33m", "error": "\x1b[31m"}
_BACKLOG = 256 * 1024  # octets gathered before they are written without waiting for the loop


def aside(log: EventLog, where: str, tell: Callable[[], object]) -> None:
    """Do what is beside the matter (count, tell): whatever it comes to, the matter itself goes on."""
    try:
        tell()
    except Exception as error:
        with contextlib.suppress(Exception):
            log.defect(where, error)


def printable(text: str) -> str:
    """`text` with every control character escaped: one event stays one line whatever a peer sent."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match.group()):02x}", text) if _CONTROL.search(text) else text


def redacted(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields without what must never be logged."""
    if _SECRET_KEYS.isdisjoint(fields):
        return fields
    return {name: "(redacted)" if name in _SECRET_KEYS else value for name, value in fields.items()}


class EventLog:
    """Writes events to one file descriptor. `base` fields (the worker, for one) stand in every line."""

    def __init__(self, descriptor: int = 2, form: str = "auto", **base: object) -> None:
        self._descriptor = descriptor
        self._text = form == "text" or (form == "auto" and os.isatty(descriptor))
        self._colour = self._text and os.isatty(descriptor)
        self._base = base
        self.metrics: Metrics | None = None  # counts what is logged
        self.rings: tuple[Ring, ...] = ()  # of those who look on
        self._lines: list[bytes] = []
        self._octets = 0
        self._soon: Callable[[Callable[[], None]], object] | None = None
        self._scheduled = False

    def gather_with(self, call_soon: Callable[[Callable[[], None]], object] | None) -> None:
        """Write once per turn of the loop whose `call_soon` this is; None: at once again."""
        self.flush()
        self._soon = call_soon

    def info(self, event: str, **fields: object) -> None:
        """Something that is as it should be."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Something an administrator may want to change."""
        self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        """Something an administrator must look at."""
        self._write("error", event, fields)

    def defect(self, where: str, error: BaseException) -> None:
        """A bug of ours, with its traceback; nobody but us sees it."""
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        self.error(events.DEFECT, where=where, error=repr(error), traceback="".join(lines)[-8000:])

    def flush(self) -> None:
        """Write what has gathered."""
        self._scheduled = False
        lines, self._lines, self._octets = self._lines, [], 0
        part: list[bytes] = []
        size = 0
        for line in lines:
            if part and size + len(line) > select.PIPE_BUF:
                self._put(b"".join(part))
                part, size = [], 0
            part.append(line)
            size += len(line)
        if part:
            self._put(b"".join(part))

    def _put(self, data: bytes) -> None:
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            self._lines.clear()  # nobody reads the log any more: mail goes on without it

    def _write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        """Count and tell. Never raises: what is told of mail must not stand in its way."""
        now = time.time()
        try:
            if self.metrics is not None:
                self.metrics.observe(event, fields)
            fields = redacted(fields)
            for ring in self.rings:
                ring.offer(now, level, event, {**self._base, **fields})
            line = self._as_text(now, level, event, fields) if self._text else self._as_json(now, level, event, fields)
        except Exception as error:
            known = {"time": round(now, 6), "level": "error", "event": events.DEFECT, **self._base}
            line = (
                json.dumps({**known, "where": f"log of {event}", "error": repr(error)}, default=repr).encode() + b"\n"
            )
        self._lines.append(line)
        self._octets += len(line)
        if self._soon is None or self._octets > _BACKLOG:
            self.flush()
        elif not self._scheduled:
            self._scheduled = True
            self._soon(self.flush)

    def _as_json(self, now: float, level: str, event: str, fields: dict[str, Any]) -> bytes:
        record = {"time": round(now, 6), "level": level, "event": event, **self._base, **fields}
        try:
            return to_json(record, serialize_unknown=True) + b"\n"
        except ValueError:  # a lone surrogate, of a file name for one
            return json.dumps(record, default=str, separators=(",", ":")).encode() + b"\n"

    def _as_text(self, now: float, level: str, event: str, fields: dict[str, Any]) -> bytes:
        stamp = time.strftime("%H:%M:%S", time.localtime(now))
        words = " ".join(f"{name}={_word(value)}" for name, value in {**self._base, **fields}.items() if value != "")
        head = f"{_BRIGHT[level]}{event}\x1b[0m" if self._colour else f"{level:7} {event}"
        return f"{stamp} {head} {words}\n".encode("utf-8", "replace")


def _word(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
    text = printable(text)
    return f'"{text}"' if " " in text and not text.startswith(("{", "[", '"')) else text


class LibraryHandler(logging.Handler):
    """Brings what libraries log (asyncio, dnspython) into our lines; warnings and worse only."""

    def __init__(self, log: EventLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """One record of a library as one event."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            self._log.defect(f"{record.name}: {record.getMessage()}", error)
        else:
            self._log.warning(events.LIBRARY, logger=record.name, message=record.getMessage())


def capture_libraries(log: EventLog) -> None:
    """Send the standard library's logging here; nothing of a library reaches standard error by itself."""
    logging.basicConfig(level=logging.WARNING, handlers=[LibraryHandler(log)], force=True)
    logging.raiseExceptions = False
    sys.unraisablehook = lambda unraisable: log.defect(
        "unraisable", unraisable.exc_value or RuntimeError(str(unraisable.err_msg))
    )
