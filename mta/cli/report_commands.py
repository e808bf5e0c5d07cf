"""The commands of `mta reports` and their options; what each does is imported when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

reports = typer.Typer(name="reports", help="Daily reports, ours and those of others.", no_args_is_help=True)

Config = Annotated[str, typer.Option("--config", "-c", help="The configuration.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
_CONFIG = "connectors.yaml"


@reports.command("list")
def reports_list(config: Config = _CONFIG, json: Json = False) -> None:
    """All reports that are kept: composed, sent, received."""
    from mta.cli.reports import show_list as run

    raise typer.Exit(run(config, json))


@reports.command("show")
def reports_show(
    wanted: Annotated[str, typer.Argument(metavar="ID|DOMAIN", help="The id of a report, or the domain it is about.")],
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """A report in full."""
    from mta.cli.reports import show as run

    raise typer.Exit(run(config, wanted, json))


@reports.command("import")
def reports_import(
    file: Annotated[str, typer.Argument(help="A message, or a report, packed or not; - for standard input.")],
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Read a report that somebody sent about us, and keep it."""
    from mta.cli.reports import take_in as run

    raise typer.Exit(run(config, file, json))


@reports.command("send")
def reports_send(
    day: Annotated[str, typer.Option("--day", help="A day like 2026-11-25 (UTC), yesterday or today.")] = "yesterday",
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Make and send the reports of a day now, without waiting for the night."""
    from mta.cli.reports import send as run

    raise typer.Exit(run(config, day, json))
