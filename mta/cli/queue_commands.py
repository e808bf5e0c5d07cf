"""The commands of `mta queue` and their options; what each does is imported when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

queue = typer.Typer(name="queue", help="Look at the queue of the live relay and change it.", no_args_is_help=True)

Config = Annotated[str, typer.Option("--config", "-c", help="The configuration.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Id = Annotated[str, typer.Argument(help="Id of a message, or its beginning.")]
Connector = Annotated[str, typer.Option("--connector", help="Recipients of this outbound connector.")]
To = Annotated[str, typer.Option("--to", help="Recipient address or domain.")]
From = Annotated[str, typer.Option("--from", help="Sender address or domain.")]
Status = Annotated[str, typer.Option("--status", help="queued, held, delivered, relayed, failed, expired, deleted.")]
Since = Annotated[str, typer.Option("--since", help="Not older than this: 30m, 4h, 2d, or 2026-11-23T10:00.")]
Older = Annotated[str, typer.Option("--older", help="Received longer ago than this: 30m, 4h, 2d, or a date.")]
Larger = Annotated[str, typer.Option("--larger", help="Of at least this size: 200K, 5M.")]
Smaller = Annotated[str, typer.Option("--smaller", help="Of at most this size.")]
Reason = Annotated[str, typer.Option("--reason", help="The last reason has this in it: a word, a host, a reply.")]
Attempts = Annotated[int, typer.Option("--attempts", min=0, help="Tried at least so many times.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="At most so many messages.")]
Note = Annotated[str, typer.Option("--note", help="Why; kept in the message's history.")]
All = Annotated[bool, typer.Option("--all", help="Every message that waits.")]
_CONFIG = "connectors.yaml"


def _queue(command: str, config: str, json: bool, **request: object) -> None:
    from mta.cli.queue import queue as run

    raise typer.Exit(run(config, {"command": command, **request}, json))


@queue.command("migrate")
def queue_migrate(config: Config = _CONFIG) -> None:
    """Bring the tables of a shared queue up to date; nodes of this version and the one before work on meanwhile."""
    from mta.cli.nodes import migrate as run

    raise typer.Exit(run(config))


@queue.command("list")
def queue_list(
    connector: Connector = "",
    to: To = "",
    sender: From = "",
    status: Status = "",
    older: Older = "",
    since: Since = "",
    larger: Larger = "",
    smaller: Smaller = "",
    reason: Reason = "",
    attempts: Attempts = 0,
    limit: Limit = 1000,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Messages that wait, oldest first."""
    which = {"connector": connector, "recipient": to, "sender": sender, "state": status}
    more = _further(older, since, larger, smaller)
    _queue("list", config, json, **which, **more, reason=reason, attempts=attempts, limit=limit)


def _further(older: str, since: str, larger: str, smaller: str) -> dict[str, float]:
    """Ages and sizes, as the queue understands them. Raises UsageError."""
    from time import time

    from mta.cli.ask import octets_of
    from mta.cli.ask import since as moment

    now = time()
    return {
        "until": moment(older, now, "--older"),
        "since": moment(since, now),
        "larger": octets_of(larger, "--larger"),
        "smaller": octets_of(smaller, "--smaller"),
    }


@queue.command("summary")
def queue_summary(
    by: Annotated[str, typer.Option("--by", help="connector or domain.")] = "connector",
    connector: Connector = "",
    to: To = "",
    sender: From = "",
    reason: Reason = "",
    older: Older = "",
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """What waits, by connector or domain and by age: how many, the oldest, the last reply, the next attempt."""
    from mta.cli.queue_summary import summary as run
    from mta.errors import UsageError

    if by not in ("connector", "domain"):
        raise UsageError(f"--by: expected connector or domain, saw {by!r}")
    which = {"connector": connector, "recipient": to, "sender": sender, "reason": reason}
    raise typer.Exit(run(config, {**which, **_further(older, "", "", "")}, by, json))


@queue.command("show")
def queue_show(id: Id, config: Config = _CONFIG, json: Json = False) -> None:
    """One message with its history."""
    from mta.cli.trace import trace as run

    raise typer.Exit(run(config, {"id": id}, json))


def _change(command: str, text: str) -> None:
    def change(
        id: Annotated[str, typer.Argument(help="Id of a message, or its beginning.")] = "",
        connector: Connector = "",
        to: To = "",
        sender: From = "",
        status: Status = "",
        older: Older = "",
        since: Since = "",
        larger: Larger = "",
        smaller: Smaller = "",
        reason: Reason = "",
        attempts: Attempts = 0,
        all: All = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many are meant.")] = False,
        rate: Annotated[str, typer.Option("--rate", help="No faster than this: 50/min, 5/s.")] = "",
        limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many messages.")] = 1 << 62,
        note: Note = "",
        config: Config = _CONFIG,
        json: Json = False,
    ) -> None:
        from mta.cli.ask import rate_of

        request = {"id": id, "connector": connector, "recipient": to, "sender": sender, "state": status}
        more = {**_further(older, since, larger, smaller), "reason": reason, "attempts": attempts}
        how = {"all": all, "note": note, "limit": limit, "dry_run": dry_run, "rate": rate_of(rate)}
        _queue(command, config, json, **request, **more, **how)

    change.__doc__ = text
    queue.command(command)(change)


_change("hold", "Deliver no more until released.")
_change("release", "Let held mail go on its way.")
_change("retry", "Try now, held or not.")
_change("bounce", "Give up: the sender is told that it was not delivered.")
_change("delete", "Remove from the queue; the sender is not told.")


@queue.command("rescue")
def queue_rescue(
    names: Annotated[list[str] | None, typer.Argument(help="Bodies, by file name or id of the message.")] = None,
    requeue: Annotated[bool, typer.Option("--requeue", help="Queue them again.")] = False,
    export: Annotated[str, typer.Option("--export", help="Copy them into this folder as .eml files.")] = "",
    sender: Annotated[str, typer.Option("--from", help="With --requeue: the envelope's sender, or <>.")] = "",
    to: Annotated[list[str] | None, typer.Option("--to", help="With --requeue: a recipient (repeatable).")] = None,
    all: Annotated[bool, typer.Option("--all", help="With --requeue: every one whose envelope is known.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also what the queue or its history has already.")] = False,
    damaged: Annotated[bool, typer.Option("--damaged", help="Also what is not as it came.")] = False,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Mail that lies beside the queue since it was damaged: look at it, copy it, send it."""
    from mta.cli.rescue import RescueOptions, rescue

    options = RescueOptions(
        config, tuple(names or ()), requeue, export, sender, tuple(to or ()), all, again, damaged, json
    )
    raise typer.Exit(rescue(options))
