"""`mta demo`: two companies with a contract between them, on this machine, with real relays."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

from mta.cli.demo.play import Play
from mta.cli.demo.world import prepare, scratch


def demo(config: str, *, once: bool) -> int:
    """Run it: on the connectors.yaml `config`, or in a temporary folder if that is empty.

    Ends after the first message with `once`, otherwise with SIGINT or SIGTERM. 0 if the message arrived, else 1.
    """
    if config:
        return _play(Path(config), once=once)
    with tempfile.TemporaryDirectory(prefix="mta-demo-") as folder:
        return _play(scratch(Path(folder)), once=once)


def _play(config: Path, *, once: bool) -> int:
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # type: ignore[union-attr]
    play = Play(prepare(config), sys.stdout, os.getpid())
    return asyncio.run(play.run(once=once))
