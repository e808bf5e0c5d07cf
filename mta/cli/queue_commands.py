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
Limit = Annotated[int, typer.Option("--limit", min=1, help="At most so many messages.")]
Note = Annotated[str, typer.Option("--note", help="Why; kept in the message's history.")]
All = Annotated[bool, typer.Option("--all", help="Every message that waits.")]
_CONFIG = "connectors.yaml"


def _queue(command: str, config: str, json: bool, **request: object) -> None:
    from mta.cli.queue import queue as run

    raise typer.Exit(run(config, {"command": command, **request}, json))


@queue.command("list")
def queue_list(
    connector: Connector = "",
    to: To = "",
    sender: From = "",
    status: Status = "",
    limit: Limit = 1000,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Messages that wait, oldest first."""
    _queue("list", config, json, connector=connector, recipient=to, sender=sender, state=status, limit=limit)


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
        all: All = False,
        note: Note = "",
        config: Config = _CONFIG,
        json: Json = False,
    ) -> None:
        request = {"id": id, "connector": connector, "recipient": to, "sender": sender, "state": status}
        _queue(command, config, json, **request, all=all, note=note, limit=1 << 62)

    change.__doc__ = text
    queue.command(command)(change)


_change("hold", "Deliver no more until released.")
_change("release", "Let held mail go on its way.")
_change("retry", "Try now, held or not.")
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
