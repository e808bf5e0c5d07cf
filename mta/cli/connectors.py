"""The commands of `mta connectors` and their options; what each does is imported when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

connectors = typer.Typer(
    name="connectors", help="Contracts from settings of others and from traffic seen.", no_args_is_help=True
)
imports = typer.Typer(name="import", help="Contracts out of other programs' settings.", no_args_is_help=True)
connectors.add_typer(imports)

Config = Annotated[str, typer.Option("--config", "-c", help="Where the server is named, if there is one already.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Accept = Annotated[
    list[str] | None,
    typer.Option("--accept", help="The id of something weaker that may be so, or `all`; may be given several times."),
]


@imports.command("postfix")
def import_postfix(
    files: Annotated[list[str], typer.Argument(help="main.cf; tls_policy and transport tables; any of them.")],
    config: Config = "connectors.yaml",
    accept: Accept = None,
    json: Json = False,
) -> None:
    """Print contracts that mean what Postfix's settings mean, and every difference; 1 while something is weaker."""
    from mta.cli.imports import from_postfix as run

    raise typer.Exit(run(files, config, json, accept or ()))


@imports.command("exchange")
def import_exchange(
    files: Annotated[list[str], typer.Argument(help="Get-InboundConnector, Get-OutboundConnector | ConvertTo-Json.")],
    config: Config = "connectors.yaml",
    accept: Accept = None,
    json: Json = False,
) -> None:
    """Print contracts that mean what Exchange Online's do, and every difference; 1 while something is weaker."""
    from mta.cli.imports import from_exchange as run

    raise typer.Exit(run(files, config, json, accept or ()))


@connectors.command("replay")
def replay(
    since: Annotated[
        str, typer.Option("--since", help="Mail not older than this: 4h, 7d, or 2026-11-23T10:00.")
    ] = "7d",
    file: Annotated[str, typer.Option("--file", help="The changed configuration; default: that of --config.")] = "",
    all: Annotated[bool, typer.Option("--all", help="Also the messages that would have fared the same.")] = False,
    config: Annotated[str, typer.Option("--config", "-c", help="The relay whose history is read.")] = "connectors.yaml",
    json: Json = False,
) -> None:
    """Say what a changed configuration would have done to recent mail, before it is enforced."""
    from mta.cli.replay import run

    raise typer.Exit(run(config, file, since, all, json))


@connectors.command("suggest")
def suggest(
    since: Annotated[
        str, typer.Option("--since", help="Mail not older than this: 4h, 7d, or 2026-11-23T10:00.")
    ] = "14d",
    at_least: Annotated[int, typer.Option("--at-least", min=1, help="Messages that a proposal must rest on.")] = 10,
    config: Annotated[str, typer.Option("--config", "-c", help="The relay whose history is read.")] = "connectors.yaml",
    json: Json = False,
) -> None:
    """Propose contracts for domains without one, from the evidence of the traffic seen."""
    from mta.cli.suggest import run

    raise typer.Exit(run(config, since, at_least, json))
