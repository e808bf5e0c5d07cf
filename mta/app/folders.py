"""The relay's files: the queue, one folder of shards and one shard a worker; and beside it what is not mail."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mta.contract.configuration import Configuration
from mta.errors import UsageError

_SHARD = "shard-{:02d}"


def queue_folder(configuration: Configuration) -> Path:
    """The folder of the shards; a relative one stands beside connectors.yaml."""
    kind, _, place = configuration.server.queue.partition(":")
    if kind != "sqlite":
        raise UsageError(f"server.queue.store: only sqlite:FOLDER is known, not {configuration.server.queue!r}")
    return Path(configuration.path).resolve().parent / place  # an absolute place stands for itself


def state_folder(configuration: Configuration) -> Path:
    """The folder of what is kept beside the queue: sockets, reports, policies, the directory, what was seen."""
    if not configuration.server.state:
        return queue_folder(configuration)
    return Path(configuration.path).resolve().parent / configuration.server.state


def shard_folders(configuration: Configuration) -> dict[int, Path]:
    """Every shard by number: those of the configured workers, and those that more workers left behind."""
    root = queue_folder(configuration)
    found = {number: root / _SHARD.format(number) for number in range(configuration.server.workers)}
    for path in root.glob("shard-*"):
        number = path.name.removeprefix("shard-")
        if number.isdigit() and path.is_dir():
            found[int(number)] = path
    return dict(sorted(found.items()))


def control_paths(configuration: Configuration) -> list[tuple[int, str]]:
    """Every shard, with the control socket that is there if a worker has it for its own.

    A worker that adopted further shards answers for those, too (`shards` of its answer says for which).
    """
    state = state_folder(configuration)
    return [
        (number, str(state / folder.name / "control.sock")) for number, folder in shard_folders(configuration).items()
    ]


def control_place(configuration: Configuration, number: int) -> str:
    """Where worker `number` answers commands; the folder is made if it is not there. Raises UsageError."""
    from mta.adapters.privileges import make_private

    path = dict(control_paths(configuration))[number]
    make_private(Path(path).parent, "server.state")
    return path


@contextlib.contextmanager
def in_house(configuration: Configuration) -> Iterator[None]:
    """Where a command touches the queue's files: root does so with the rights of the relay's user. Raises UsageError.

    What it makes belongs to that user then, and a link that lies there leads no further than that user could go.
    """
    from mta.adapters.privileges import acting_for

    with acting_for(queue_folder(configuration), configuration.server.user):
        yield
