"""`mta tail`: what happens, as it happens, of all workers."""

from __future__ import annotations

import json
import sys
import threading
import time
from queue import SimpleQueue
from typing import Any

from mta.app.commands import worker_parts
from mta.app.folders import control_paths
from mta.app.in_force import Need
from mta.cli.ask import look
from mta.cli.paint import Paint, paint_for
from mta.errors import MtaError, Unanswered
from mta.observe.log import printable

_KINDS = {"info": "good", "warning": "warn", "error": "bad"}
_Heard = SimpleQueue[tuple[str, dict[str, Any] | None]]


def tail(config: str, request: dict[str, str], most: int, json_output: bool) -> int:
    """Print events until Ctrl-C, or `most` of them (0: without end). Raises Unanswered where no worker is there."""
    heard: _Heard = SimpleQueue()
    paths = [path for _, path in control_paths(look(config, Need.QUEUE))]
    for path in paths:
        threading.Thread(target=_listen, args=(path, request, heard), daemon=True).start()
    silent = shown = 0
    try:
        while silent < len(paths):
            fault, part = heard.get()
            if part is None:
                silent += 1
                if fault:
                    print(f"mta: {fault}", file=sys.stderr)
                continue
            if part.get("dropped"):
                print(f"mta: {part['dropped']} events came too fast and were left out", file=sys.stderr)
            for event in part.get("events", ()):
                print(json.dumps(event) if json_output else _line(event, paint_for(sys.stdout)), flush=True)
                shown += 1
                if shown == most:
                    return 0
    except KeyboardInterrupt:
        return 0
    raise Unanswered("no worker answers: is the relay running?" if not shown else "the relay has ended")


def _listen(path: str, request: dict[str, str], heard: _Heard) -> None:
    try:
        for part in worker_parts(path, {"command": "tail", **request}):
            heard.put(("", part))
        heard.put(("", None))
    except (FileNotFoundError, ConnectionRefusedError):
        heard.put(("", None))  # nobody serves this folder
    except MtaError as error:
        heard.put((str(error), None))


def _line(event: dict[str, Any], paint: Paint) -> str:
    fields = {name: value for name, value in event.items() if name not in ("time", "level", "event") and value != ""}
    words = " ".join(f"{name}={_word(value)}" for name, value in fields.items())
    stamp = time.strftime("%H:%M:%S", time.localtime(event["time"]))
    return f"{stamp} {paint(_KINDS.get(event['level'], 'warn'), event['event'])} {words}"


def _word(value: object) -> str:
    text = printable(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return f'"{text}"' if " " in text and not text.startswith(("[", "{")) else text
