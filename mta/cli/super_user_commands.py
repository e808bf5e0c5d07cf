"""`mta protected super-user` and its options; what they do is imported when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

super_user = typer.Typer(
    name="super-user",
    help="Open what is not for one, by leave of a second person: bounded, logged, told to the auditor.",
    no_args_is_help=True,
)

Config = Annotated[str, typer.Option("--config", "-c", help="The configuration.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
By = Annotated[str, typer.Option("--by", help="Who asks; default: the account of this machine.")]
Leave = Annotated[str, typer.Argument(help="Id of a leave, or its beginning.")]
_CONFIG = "connectors.yaml"


@super_user.command("request")
def request(
    reason: Annotated[str, typer.Option("--reason", help="What it is for; the auditor reads it.")],
    lasts: Annotated[str, typer.Option("--for", help="How long from the approval on, up to 24h.")] = "1h",
    by: By = "",
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Ask for leave to open whatever is protected; a second person approves it within a day."""
    from mta.cli.super_user import ask_for

    raise typer.Exit(ask_for(reason, lasts, by, config, json))


@super_user.command("approve")
def approve(id: Leave, by: By = "", config: Config = _CONFIG, json: Json = False) -> None:
    """Let a leave begin, as a second person; the auditor is told."""
    from mta.cli.super_user import change

    raise typer.Exit(change("approve", id, by, config, json))


@super_user.command("end")
def end(id: Leave, by: By = "", config: Config = _CONFIG, json: Json = False) -> None:
    """Take a leave back before its time."""
    from mta.cli.super_user import change

    raise typer.Exit(change("end", id, by, config, json))


@super_user.command("list")
def list_(config: Config = _CONFIG, json: Json = False) -> None:
    """All leaves, the newest first."""
    from mta.cli.super_user import show_list

    raise typer.Exit(show_list(config, json))
