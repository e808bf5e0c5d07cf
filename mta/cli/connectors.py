"""The commands of `mta connectors` and their options; what each does is imported when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

connectors = typer.Typer(
    name="connectors", help="Contracts from settings of others and from traffic seen.", no_args_is_help=True
)
imports = typer.Typer(name="import", help="Contracts out of other programs' settings.", no_args_is_help=True)
connectors.add_typer(imports)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]


@imports.command("postfix")
def import_postfix(
    files: Annotated[list[str], typer.Argument(help="main.cf; tls_policy and transport tables; any of them.")],
    json: Json = False,
) -> None:
    """Print contracts that mean what Postfix's settings mean, and every difference."""
    from mta.cli.imports import from_postfix as run

    raise typer.Exit(run(files, json))


@imports.command("exchange")
def import_exchange(
    files: Annotated[list[str], typer.Argument(help="Get-InboundConnector, Get-OutboundConnector | ConvertTo-Json.")],
    json: Json = False,
) -> None:
    """Print contracts that mean what Exchange Online's connectors mean, and every difference."""
    from mta.cli.imports import from_exchange as run

    raise typer.Exit(run(files, json))
