"""connectors.yaml read and judged, on this machine and now: by the supervisor and by commands, never by a worker."""

from __future__ import annotations

import os
import time

from mta.contract.configuration import Configuration


def load(path: str) -> Configuration:
    """The configuration in `path` for this machine, now. Raises ConfigurationError."""
    from mta.config.load import load as read

    return read(path, now=time.time(), cpus=os.cpu_count() or 1)


def load_text(text: str, path: str) -> Configuration:
    """The same of `text` that stood in `path`. Raises ConfigurationError."""
    from mta.config.load import load_text as read

    return read(text, path, now=time.time(), cpus=os.cpu_count() or 1)
