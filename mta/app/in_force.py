"""What commands work with while connectors.yaml has problems: what the live relay has in force, or what can be read."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from mta.adapters.control import parts
from mta.app.folders import control_paths
from mta.app.load import load, load_text
from mta.config.salvage import only_the_queue, salvage
from mta.contract.configuration import Configuration
from mta.errors import ConfigurationError, MtaError


@dataclass(frozen=True, slots=True)
class Standing:
    """A configuration to look at things with. `note` says where it comes from, if it is not simply the file."""

    configuration: Configuration
    note: str = ""


class Need(Enum):
    """How much of a configuration a command needs."""

    QUEUE = "where the queue is"
    PARTS = "as much as can be read"
    WHOLE = "all of it: nothing is guessed"


def standing(path: str, need: Need) -> Standing:
    """The configuration in `path`, else that of the live relay, else what can be read of the file if that will do.

    Raises ConfigurationError where there is nothing that will do.
    """
    try:
        return Standing(load(path))
    except ConfigurationError as error:
        try:
            text = Path(path).read_bytes().decode("utf-8", "replace")
        except OSError:
            raise error from None
        number = len(error.problems)
        found = f"{path} has {number} problem{'s' if number > 1 else ''} (`mta check` tells)"
        best = _of_the_relay(text, path, found, need)
        if best is None and need is not Need.WHOLE:
            best = _of_the_file(text, path, found)
        if best is None and need is Need.QUEUE:
            best = Standing(only_the_queue(text, path), f"{found}: nothing but the place of the queue is taken from it")
        if best is None:
            raise
        return best


def _of_the_file(text: str, path: str, found: str) -> Standing | None:
    saved = salvage(text, path, now=time.time(), cpus=os.cpu_count() or 1)
    if saved is None:
        return None
    return Standing(saved.configuration, f"{found}: this is told without {', '.join(saved.left_out)}")


def _of_the_relay(text: str, path: str, found: str, need: Need) -> Standing | None:
    """What a live worker has in force, read again with the files as they are now."""
    saved = salvage(text, path, now=time.time(), cpus=os.cpu_count() or 1)
    places = [only_the_queue(text, path), *([saved.configuration] if saved else [])]
    for place in reversed(places):
        for _, socket in control_paths(place):
            if (told := _ask(socket)) is not None:
                return _understood(told, path, found, need)
    return None


def _ask(socket: str) -> dict[str, Any] | None:
    try:
        for part in parts(socket, {"command": "configuration"}):
            if "text" in part:
                return part
    except (OSError, MtaError):
        return None  # nobody there, or nobody who can tell
    return None


def _understood(told: dict[str, Any], path: str, found: str, need: Need) -> Standing | None:
    text, since = str(told["text"]), float(told["since"])
    note = (
        f"{found}: this is what the relay has in force since {time.strftime('%Y-%m-%d %H:%M', time.localtime(since))}"
    )
    try:
        return Standing(load_text(text, path), note)
    except ConfigurationError:  # a file that it names is another by now
        if need is Need.WHOLE:
            return None
        saved = salvage(text, path, now=time.time(), cpus=os.cpu_count() or 1)
    if saved is None:
        return None
    return Standing(saved.configuration, f"{note}, told without {', '.join(saved.left_out)}")
