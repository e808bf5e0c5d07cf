"""`python -m mta worker`: a process of the relay. It takes no options, and loads nothing that would read them."""

from __future__ import annotations

from mta.app.worker import run_worker
from mta.cli.ending import end_with


def main() -> None:
    """One worker, until the supervisor has no more need of it."""
    end_with(run_worker)
