"""Where root keys are made and ended: in a file, or in a token."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mta.app.vault import places_of
from mta.contract.configuration import Configuration
from mta.contract.protection import RootKeyPlace
from mta.contract.values import TOKEN
from mta.errors import MtaError, UsageError
from mta.model.protected import RootKey
from mta.vault.root_keys import root_key_bits

if TYPE_CHECKING:
    from mta.adapters.root_tokens import TokenMaker


async def place_key(configuration: Configuration, place: RootKeyPlace, bits: int) -> bytes:
    """Make a new key in its place; its public half, DER. Raises UsageError if one is there, MtaError."""
    try:
        if place.place.startswith(TOKEN):
            async with token_maker(configuration) as tokens:
                return await tokens.generate(place.place, bits)
        return _file_made(Path(place.place), bits)
    except UsageError as error:
        raise UsageError(f"{error}; `mta keys root import {place.id}` takes over what is there") from error


def _file_made(path: Path, bits: int) -> bytes:
    from mta.adapters.private_files import write_private
    from mta.adapters.root_keys import new_root_key

    pem, spki = new_root_key(bits)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_private(path, pem, replace=False)
    return spki


@dataclass(frozen=True, slots=True)
class Brought:
    """What was read from a file that a key comes from, with the rights of whoever gives the command."""

    path: Path
    pem: bytes = field(repr=False)


def read_key(path: Path) -> Brought:
    """The PEM file of a key that is to be brought into its place. Raises MtaError."""
    from mta.adapters.private_files import read_private

    return Brought(path, read_private(path))


async def take_key(configuration: Configuration, place: RootKeyPlace, source: Brought | None) -> bytes:
    """Bring a key into its place, or take it as it lies there; its public half, DER. Raises UsageError, MtaError.

    What cannot be a root key is refused before anything is written.
    """
    from mta.adapters.private_files import write_private
    from mta.adapters.root_keys import load_root_key, parse_root_key, spki

    if source is None and place.place.startswith(TOKEN):
        async with token_maker(configuration, writes=False) as tokens:
            found = await tokens.take(place.place)
        root_key_bits(found)
        return found
    key = load_root_key(Path(place.place)) if source is None else parse_root_key(source.pem, source.path)
    public = spki(key.public_key())
    root_key_bits(public)
    if source is not None and place.place.startswith(TOKEN):
        async with token_maker(configuration) as tokens:
            return await tokens.bring(place.place, key)
    if source is not None:
        Path(place.place).parent.mkdir(parents=True, exist_ok=True)
        write_private(Path(place.place), source.pem, replace=False)
    return public


async def remove_key(configuration: Configuration, key: RootKey) -> None:
    """The end of a key where it is; of this one and of no other. Raises MtaError."""
    place = places_of(configuration).get(key.id, key.place)
    if place.startswith(TOKEN):
        async with token_maker(configuration) as tokens:
            await tokens.remove(place, key.spki)
    else:
        _file_removed(Path(place), key)


def _file_removed(path: Path, key: RootKey) -> None:
    from mta.adapters.private_files import overwrite_and_remove
    from mta.adapters.root_keys import load_root_key, spki

    if not path.exists():
        return
    if spki(load_root_key(path).public_key()) != key.spki:
        raise MtaError(f"{path} holds another key than the one that is called {key.id}; it was left as it is")
    overwrite_and_remove(path)


def token_maker(configuration: Configuration, *, writes: bool = True) -> TokenMaker:
    """Changes what tokens hold, or with no `writes` looks at it. Raises UsageError without `server.pkcs11`."""
    from mta.adapters.root_tokens import TokenMaker

    token = configuration.server.pkcs11
    if token is None:
        raise UsageError("nothing here reaches tokens: write server.pkcs11 (module, pin_file)")
    return TokenMaker(token.module, token.pin, writes=writes)
