"""The commands of `mta directory` and their options; what each does is imported when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

directory = typer.Typer(name="directory", help="Certificates of recipients.", no_args_is_help=True)

Config = Annotated[str, typer.Option("--config", "-c", help="The configuration.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Which = Annotated[str, typer.Argument(help="An address, or a domain; without it all.")]
_CONFIG = "connectors.yaml"


@directory.command("lookup")
def directory_lookup(
    address: Annotated[str, typer.Argument(help="The recipient.")], config: Config = _CONFIG, json: Json = False
) -> None:
    """Which certificate mail to this address would be encrypted to, and why no other."""
    from mta.cli.directory import lookup as run

    raise typer.Exit(run(config, address, json))


@directory.command("list")
def directory_list(
    which: Which = "",
    pending: Annotated[bool, typer.Option("--pending", help="Only those that wait for approval.")] = False,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """The certificates in folders and those learned from signed mail; files that cannot be used."""
    from mta.cli.directory_store import show as run

    raise typer.Exit(run(config, which, pending, json))


@directory.command("approve")
def directory_approve(
    address: Annotated[str, typer.Argument(help="Whose certificate.")],
    digest: Annotated[str, typer.Argument(help="Its SHA-256, or the beginning, where there are several.")] = "",
    reject: Annotated[bool, typer.Option("--reject", help="Never use it.")] = False,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Let a certificate be used that was learned from signed mail."""
    from mta.cli.directory_store import approve as run

    raise typer.Exit(run(config, address, digest, reject=reject, json_output=json))


@directory.command("import")
def directory_import(
    files: Annotated[list[str], typer.Argument(help="PEM, DER or PKCS #7; - is standard input.")],
    address: Annotated[str, typer.Option("--address", help="For whom: an address or @domain.")] = "",
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Copy certificates into the first folder of the directory."""
    from mta.cli.directory_store import Import
    from mta.cli.directory_store import take_in as run

    raise typer.Exit(run(Import(tuple(files), address, config), json))


@directory.command("export")
def directory_export(which: Which = "", config: Config = _CONFIG) -> None:
    """Print certificates as PEM: of an address the one that would be used, else all that are kept."""
    from mta.cli.directory_store import export as run

    raise typer.Exit(run(config, which))
