"""How each process of ours ends: its exit status, and errors in plain lines."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn, TextIO

from mta.errors import ConfigurationError, MtaError, UsageError


def end_with(run: Callable[[], int]) -> NoReturn:
    """Run it and exit: 0 good, 1 the answer is no, 2 usage or configuration error."""
    _show_everything(sys.stdout, sys.stderr)
    try:
        sys.exit(run())
    except ConfigurationError as error:
        _say(*error.problems)
        sys.exit(2)
    except UsageError as error:
        _say(f"mta: {error}")
        sys.exit(2)
    except MtaError as error:
        _say(f"mta: {error}")
        sys.exit(1)
    except BrokenPipeError:
        sys.exit(0)


def _show_everything(*streams: TextIO | None) -> None:
    """What a terminal has no letter for is shown as its number: nothing is worth a traceback less."""
    for stream in streams:
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _say(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)
