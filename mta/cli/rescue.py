"""`mta queue rescue`: bodies that lie beside a damaged queue, for a person to look at, keep or send."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mta.app.commands import acting_for
from mta.app.folders import in_house
from mta.app.in_force import Need
from mta.cli.ask import ask, look
from mta.cli.paint import octets
from mta.errors import UsageError
from mta.observe.log import printable


@dataclass(frozen=True, slots=True)
class RescueOptions:
    """What the command line says."""

    config: str
    names: tuple[str, ...]
    requeue: bool
    export: str
    sender: str
    to: tuple[str, ...]
    all: bool
    again: bool
    damaged: bool
    json: bool


def rescue(options: RescueOptions) -> int:
    """List, export or queue; 1 where nothing lies there, or something that was asked for was not done."""
    if options.requeue and not options.names and not options.all:
        raise UsageError("rescue --requeue: name bodies or ids, or say --all")
    if (options.sender or options.to) and len(options.names) != 1:
        raise UsageError("rescue: --from and --to are the envelope of one body: name it")
    request = {"command": "rescue-requeue" if options.requeue else "rescue", "names": list(options.names)}
    more = {"sender": options.sender, "to": list(options.to), "again": options.again, "damaged": options.damaged}
    found: list[dict[str, Any]] = ask(options.config, request | more).get("bodies", [])
    if options.export:
        for body in found:
            body["exported"] = _export(body, Path(options.export), options.config)
    if options.json:
        print(json.dumps({"bodies": found}, indent=2))
    else:
        print("\n\n".join(map(_told, found)) or "nothing lies aside")
    for body in found:
        if body.get("problem"):
            print(f"mta: {body['name']}: {printable(body['problem'])}", file=sys.stderr)
    return 1 if not found or any(body.get("problem") for body in found) else 0


def _export(body: dict[str, Any], folder: Path, config: str) -> str:
    """A copy for the mail program of a person, made with the rights of whoever the folder belongs to.

    What is copied is read with those of the relay's user, who could have put a link, or another name, in its place.
    Raises UsageError.
    """
    path = folder / f"{os.path.basename(body['id']) or body['name']}.eml"
    try:
        with in_house(look(config, Need.QUEUE)):
            source = os.open(body["path"], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(source, "rb") as content, acting_for(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with open(descriptor, "wb") as copy:
                while piece := content.read(1 << 20):
                    copy.write(piece)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}: {error.filename}") from error
    return str(path)


def _told(body: dict[str, Any]) -> str:
    lines = [f"{body['name']}  {octets(body['size'])}  {body['path']}"]
    if body["recipients"] is None:
        lines.append("  envelope: not known; the message itself says")
    else:
        lines.append(f"  message {body['id']} from {body['sender'] or '<>'} to {', '.join(body['recipients'])}")
    lines += [f"  {name}: {value}" for name, values in body["header"].items() for value in values]
    if body["fault"]:
        lines.append(f"  damaged: {body['fault']}")
    if body["in_queue"]:
        lines.append(f"  in the queue or its history: {', '.join(body['in_queue'])}")
    for word in ("requeued", "exported"):
        if body.get(word):
            lines.append(f"  {word}: {body[word]}")
    return "\n".join(printable(line) for line in lines)
