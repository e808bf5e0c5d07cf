"""The commands of protected mail and files and their options; what they do is imported when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

protected = typer.Typer(
    name="protected", help="What was protected: who may open it, and until when.", no_args_is_help=True
)
root = typer.Typer(name="root", help="The organisation's root keys.", no_args_is_help=True)
log = typer.Typer(name="log", help="The log of every use of keys.", no_args_is_help=True)
label = typer.Typer(name="label", help="Labels: named sets of rights.", no_args_is_help=True)

Config = Annotated[str, typer.Option("--config", "-c", help="The configuration.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Item = Annotated[str, typer.Argument(help="Id of an item, or its beginning.")]
Reader = Annotated[str, typer.Option("--reader", help="An address, @domain or `internal`.")]
As = Annotated[str, typer.Option("--as", help="Who does it: an owner's address; without it an administrator.")]
_CONFIG = "connectors.yaml"


def register(app: typer.Typer, keys: typer.Typer) -> None:
    """Add all of them below `mta` and `mta keys`."""
    app.command()(protect)
    app.command("open")(open_)
    for group in (protected, log, label):
        app.add_typer(group)
    keys.add_typer(root)
    from mta.cli.super_user_commands import super_user

    protected.add_typer(super_user)


def protect(
    file: Annotated[str, typer.Argument(help="The file; - for standard input.")],
    label: Annotated[str, typer.Option("--label", help="A label of the configuration.")],
    to: Annotated[list[str] | None, typer.Option("--to", help="A reader: an address, @domain or `internal`.")] = None,
    owner: Annotated[str, typer.Option("--owner", help="Whose it is; default: server.postmaster.")] = "",
    out: Annotated[str, typer.Option("--out", help="The protected file; default: FILE.tdf.")] = "",
    expires: Annotated[str, typer.Option("--expires", help="Not the label's time, but this: 12h, 30d; 0: never.")] = "",
    spelling: Annotated[str, typer.Option("--spelling", help="4.3, or 4.2 for the oldest readers.")] = "4.3",
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Seal a file so that only its readers can open it, wherever it lies."""
    from mta.cli.protect import ProtectOptions
    from mta.cli.protect import protect as run

    options = ProtectOptions(file, label, tuple(to or ()), owner, out, expires, spelling, config)
    raise typer.Exit(run(options, json))


def open_(
    file: Annotated[str, typer.Argument(help="A protected file.")],
    as_: Annotated[str, typer.Option("--as", help="The reader's address.")] = "",
    out: Annotated[str, typer.Option("--out", help="The file to write, or - ; default: its own name.")] = "",
    super_user: Annotated[
        bool,
        typer.Option("--super-user", help="By a leave of two persons (`mta protected super-user`); --as says who."),
    ] = False,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Open a protected file as one of its readers; it is logged before any key is used.

    Where the vault is not on this machine, the key server that the file names is asked: a page there lets you in.
    """
    from mta.cli.protect import OpenOptions
    from mta.cli.protect import open_file as run

    raise typer.Exit(run(OpenOptions(file, as_, out, config, super_user), json))


Label = Annotated[str, typer.Argument(help="A label of the configuration.")]


@label.command("list")
def label_list(config: Config = _CONFIG, json: Json = False) -> None:
    """All labels, the most confidential first."""
    from mta.cli.labels import show_list

    raise typer.Exit(show_list(config, json))


@label.command("show")
def label_show(label: Label, config: Config = _CONFIG, json: Json = False) -> None:
    """One label: readers, end, marking, and which rights are enforced or only declared."""
    from mta.cli.labels import show

    raise typer.Exit(show(label, config, json))


@label.command("explain")
def label_explain(
    label: Label,
    to: Annotated[list[str] | None, typer.Option("--to", help="A reader it would be for.")] = None,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Who could do what with something of this label, and what holds them to it, right by right."""
    from mta.cli.labels import explain

    raise typer.Exit(explain(label, tuple(to or ()), config, json))


@protected.command("channels")
def protected_channels(
    reader: Annotated[str, typer.Argument(help="The reader's address.")],
    forget: Annotated[bool, typer.Option("--forget", help="Take them away: the reader sets up new ones.")] = False,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """The apps and passkeys that a reader has set up as a second proof."""
    from mta.cli.channels import channels as run

    raise typer.Exit(run(reader, forget, config, json))


@protected.command("list")
def protected_list(
    owner: Annotated[str, typer.Option("--owner", help="Items of this address.")] = "",
    reader: Reader = "",
    label: Annotated[str, typer.Option("--label", help="Items of this label.")] = "",
    state: Annotated[str, typer.Option("--state", help="live, held, expired or shredded.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 1000,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Items, with who may open them and how often it was done."""
    from mta.cli.protected import ListOptions, show_list

    raise typer.Exit(show_list(ListOptions(owner, reader, label, state, limit, config), json))


@protected.command("show")
def protected_show(item: Item, config: Config = _CONFIG, json: Json = False) -> None:
    """One item: its grants, which rights are enforced and which only declared, and what was done with it."""
    from mta.cli.protected import show

    raise typer.Exit(show(item, config, json))


@protected.command("grant")
def protected_grant(
    item: Item,
    reader: Annotated[str, typer.Option("--reader", help="An address, @domain or `internal`.")],
    rights: Annotated[list[str] | None, typer.Option("--right", help="A right or a set; default: the label's.")] = None,
    as_: As = "",
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Let a reader do exactly this with an item."""
    from mta.cli.protected import change_grant

    raise typer.Exit(change_grant(item, reader, tuple(rights or ()), as_, config, json))


@protected.command("revoke")
def protected_revoke(
    item: Item, reader: Reader = "", as_: As = "", config: Config = _CONFIG, json: Json = False
) -> None:
    """Take it back from one reader, or from all: then it is shredded."""
    from mta.cli.protected import change

    raise typer.Exit(change("revoke", item, reader, as_, config, json))


@protected.command("extend")
def protected_extend(
    item: Item,
    until: Annotated[str, typer.Option("--until", help="From now on: 12h, 30d; a date like 2027-01-31; or never.")],
    reader: Reader = "",
    as_: As = "",
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """A new end, for one reader or for all."""
    from mta.cli.protected import extend

    raise typer.Exit(extend(item, until, reader, as_, config, json))


def _change(command: str, text: str) -> None:
    def change(item: Item, as_: As = "", config: Config = _CONFIG, json: Json = False) -> None:
        from mta.cli.protected import change as run

        raise typer.Exit(run(command, item, "", as_, config, json))

    change.__doc__ = text
    protected.command(command)(change)


_change("shred", "Destroy the vault's share of its key: no copy opens again, wherever it lies.")
_change("hold", "Nobody opens it and nothing of it is destroyed, until it is released.")
_change("release", "The end of a hold.")


Key = Annotated[str, typer.Argument(help="The id of a root key.")]
By = Annotated[str, typer.Option("--by", help="Who asks; default: the account of this machine.")]


@root.command("create")
def root_create(
    id: Key,
    bits: Annotated[int, typer.Option("--bits", help="2048, 3072 or 4096.")] = 2048,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Make the key that the configuration names so, in its file or token; the first becomes active by itself."""
    from mta.cli.root_keys import create

    raise typer.Exit(create(id, bits, config, json))


@root.command("import")
def root_import(
    id: Key,
    file: Annotated[str, typer.Option("--file", help="A PEM file to take the key from, into its place.")] = "",
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Take over a key that was made elsewhere."""
    from mta.cli.root_keys import take_over

    raise typer.Exit(take_over(id, file, config, json))


@root.command("list")
def root_list(config: Config = _CONFIG, json: Json = False) -> None:
    """All root keys with their states."""
    from mta.cli.root_keys import show_list

    raise typer.Exit(show_list(config, json))


@root.command("selftest")
def root_selftest(id: Annotated[str, typer.Argument()] = "", config: Config = _CONFIG, json: Json = False) -> None:
    """Seal and open something with a root key, or with all that can open."""
    from mta.cli.root_keys import selftest

    raise typer.Exit(selftest(id, config, json))


def _move(wish: str, text: str) -> None:
    def move(id: Key, by: By = "", config: Config = _CONFIG, json: Json = False) -> None:
        from mta.cli.root_keys import change

        raise typer.Exit(change(wish, id, by, config, json))

    move.__doc__ = text
    root.command(wish)(move)


_move("activate", "Seal with this key from now on; the active one is archived.")
_move("archive", "Seal with it no more; it opens what it has sealed.")
_move("hold", "Let it do nothing until it is released; nothing is lost.")
_move("release", "The end of a hold: it is archived, and opens again.")
_move("destroy", "Its end, in two steps by two persons, a week apart; nothing that it sealed opens again.")


@log.command("head")
def log_head(config: Config = _CONFIG, json: Json = False) -> None:
    """The signed checkpoint of the log as it stands, and the key that signs."""
    from mta.cli.vault_log import head

    raise typer.Exit(head(config, json))


@log.command("list")
def log_list(
    item: Annotated[str, typer.Option("--item", help="Events of this item.")] = "",
    start: Annotated[int, typer.Option("--start", min=0, help="From this number.")] = 0,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many.")] = 1000,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """What happened: who did what with which item and key, and what came of it."""
    from mta.cli.vault_log import show_list

    raise typer.Exit(show_list(item, (start, limit), config, json))


@log.command("verify")
def log_verify(
    receipt: Annotated[str, typer.Argument(help="A receipt to check; without it the whole log.")] = "",
    key: Annotated[str, typer.Option("--key", help="The log's key (NAME+ID+BASE64), where it is not ours.")] = "",
    witness: Annotated[
        list[str] | None, typer.Option("--witness", help="A witness's key: it must have countersigned the receipt.")
    ] = None,
    config: Config = _CONFIG,
    json: Json = False,
) -> None:
    """Prove, without asking anybody, that the log is whole; or that a receipt is of it."""
    from mta.cli.log_receipt import VerifyOptions
    from mta.cli.vault_log import verify

    raise typer.Exit(verify(VerifyOptions(receipt, key, tuple(witness or ()), config), json))


@log.command("receipt")
def log_receipt(
    number: Annotated[int, typer.Argument(help="The number of an entry.", min=0)],
    out: Annotated[str, typer.Option("--out", help="The file to write; default: standard output.")] = "-",
    config: Config = _CONFIG,
) -> None:
    """A proof that an entry is in the log, for whoever is concerned (C2SP tlog-proof)."""
    from mta.cli.vault_log import receipt

    raise typer.Exit(receipt(number, out, config))


@log.command("export")
def log_export(config: Config = _CONFIG) -> None:
    """All events, one JSON object a line."""
    from mta.cli.vault_log import export

    raise typer.Exit(export(config))
