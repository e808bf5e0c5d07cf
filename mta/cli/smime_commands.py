"""The commands under `mta smime` and their options; what they do is in `smime.py`, imported when it is called."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

smime = typer.Typer(
    name="smime", help="Sign, encrypt, decrypt, verify and inspect a message on standard input.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Certs = Annotated[
    list[str] | None, typer.Option("--cert", help="Certificates of the keys, PEM or DER; the chain, too.")
]
Keys = Annotated[list[str] | None, typer.Option("--key", help="Private key: PEM, DER or PKCS #12. May be repeated.")]
Trust = Annotated[list[str] | None, typer.Option("--trust", help="Certificates of CAs that are believed.")]
Crl = Annotated[list[str] | None, typer.Option("--crl", help="Revocation lists, PEM or DER.")]
Revocation = Annotated[
    Literal["soft", "hard", "off"], typer.Option("--revocation", help="hard: every certificate must be on a list.")
]
PasswordFile = Annotated[str, typer.Option("--password-file", help="Its first line opens the keys.")]
ProfileName = Annotated[str, typer.Option("--profile", help="default, authenticated, edi-energy or post-quantum.")]
HeaderProtection = Annotated[
    Literal["none", "signed", "confidential"],
    typer.Option("--header-protection", help="Protect Subject and its like, too (RFC 9788)."),
]
Opaque = Annotated[bool, typer.Option("--opaque", help="Put the content into the signature.")]
Config = Annotated[str, typer.Option("--config", "-c", help="Whose directory.trust counts without --trust.")]
Moment = Annotated[float | None, typer.Option("--now", help="As of this epoch second.")]


def _run(command: str, *, cert: list[str] | None, key: list[str] | None, **words: Any) -> None:
    from mta.cli import smime as commands

    options = commands.SmimeOptions(certificates=tuple(cert or ()), keys=tuple(key or ()), **words)
    raise typer.Exit(getattr(commands, command)(options))


@smime.command("sign")
def smime_sign(
    cert: Certs = None,
    key: Keys = None,
    password_file: PasswordFile = "",
    profile: ProfileName = "default",
    header_protection: HeaderProtection = "none",
    opaque: Opaque = False,
    now: Moment = None,
    json: Json = False,
) -> None:
    """Write the message signed: multipart/signed, or with --opaque signed data."""
    how = {"profile": profile, "header_protection": header_protection, "opaque": opaque}
    _run("sign", cert=cert, key=key, password_file=password_file, now=now, json_output=json, **how)


@smime.command("encrypt")
def smime_encrypt(
    recipient: Annotated[list[str] | None, typer.Option("--recipient", help="Certificate of a recipient.")] = None,
    cert: Certs = None,
    key: Keys = None,
    password_file: PasswordFile = "",
    profile: ProfileName = "default",
    header_protection: HeaderProtection = "none",
    opaque: Opaque = False,
    now: Moment = None,
    json: Json = False,
) -> None:
    """Write the message encrypted to every --recipient; with a --key it is signed before."""
    how = {"profile": profile, "header_protection": header_protection, "opaque": opaque}
    to = {"recipients": tuple(recipient or ())}
    _run("encrypt", cert=cert, key=key, password_file=password_file, now=now, json_output=json, **how, **to)


@smime.command("decrypt")
def smime_decrypt(
    key: Keys = None,
    cert: Certs = None,
    trust: Trust = None,
    crl: Crl = None,
    config: Config = "connectors.yaml",
    revocation: Revocation = "soft",
    password_file: PasswordFile = "",
    now: Moment = None,
    json: Json = False,
) -> None:
    """Write the message without its encryption, signatures inside still on; or say why not and exit 1."""
    whom = {"trust": tuple(trust or ()), "lists": tuple(crl or ()), "revocation": revocation, "config": config}
    _run("decrypt", cert=cert, key=key, password_file=password_file, now=now, json_output=json, **whom)


@smime.command("verify")
def smime_verify(
    trust: Trust = None,
    crl: Crl = None,
    config: Config = "connectors.yaml",
    revocation: Revocation = "soft",
    key: Keys = None,
    cert: Certs = None,
    password_file: PasswordFile = "",
    now: Moment = None,
    json: Json = False,
) -> None:
    """Say what the signatures are worth; exit 1 unless the author has signed and is believed."""
    whom = {"trust": tuple(trust or ()), "lists": tuple(crl or ()), "revocation": revocation, "config": config}
    _run("verify", cert=cert, key=key, password_file=password_file, now=now, json_output=json, **whom)


@smime.command("inspect")
def smime_inspect(json: Json = False) -> None:
    """Show each layer, recipient, algorithm, attribute and certificate of CMS, or of a message that carries some."""
    from mta.cli.smime_inspect import run

    raise typer.Exit(run(json))
