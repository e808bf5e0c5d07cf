"""The commands under `mta smime` and their options; what they do is in `smime.py`, imported when it is called."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

smime = typer.Typer(
    name="smime", help="Sign, encrypt, decrypt and verify a message on standard input.", no_args_is_help=True
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
    from mta.cli.smime import SmimeOptions
    from mta.cli.smime import sign as run

    options = SmimeOptions(
        certificates=tuple(cert or ()),
        keys=tuple(key or ()),
        profile=profile,
        header_protection=header_protection,
        opaque=opaque,
        password_file=password_file,
        now=now,
        json_output=json,
    )
    raise typer.Exit(run(options))


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
    from mta.cli.smime import SmimeOptions
    from mta.cli.smime import encrypt as run

    options = SmimeOptions(
        certificates=tuple(cert or ()),
        keys=tuple(key or ()),
        recipients=tuple(recipient or ()),
        profile=profile,
        header_protection=header_protection,
        opaque=opaque,
        password_file=password_file,
        now=now,
        json_output=json,
    )
    raise typer.Exit(run(options))


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
    from mta.cli.smime import SmimeOptions
    from mta.cli.smime import decrypt as run

    options = SmimeOptions(
        certificates=tuple(cert or ()),
        keys=tuple(key or ()),
        trust=tuple(trust or ()),
        lists=tuple(crl or ()),
        config=config,
        revocation=revocation,
        password_file=password_file,
        now=now,
        json_output=json,
    )
    raise typer.Exit(run(options))


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
    from mta.cli.smime import SmimeOptions
    from mta.cli.smime import verify as run

    options = SmimeOptions(
        certificates=tuple(cert or ()),
        keys=tuple(key or ()),
        trust=tuple(trust or ()),
        lists=tuple(crl or ()),
        config=config,
        revocation=revocation,
        password_file=password_file,
        now=now,
        json_output=json,
    )
    raise typer.Exit(run(options))
