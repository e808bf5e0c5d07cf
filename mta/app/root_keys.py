"""Where root keys are made and ended: in a file, or in a token."""

from __future__ import annotations

from pathlib import Path

from mta.config.contract import Configuration
from mta.config.contract_protection import RootKeyPlace
from mta.errors import UsageError
from mta.model.protected import RootKey

TOKEN = "pkcs11:"  # noqa: S105 - how the URI of a token's key begins


def place_key(configuration: Configuration, place: RootKeyPlace, bits: int) -> bytes:
    """Make a new key in its place; its public half, DER. Raises UsageError if one is there, MtaError."""
    if place.place.startswith(TOKEN):
        raise UsageError("keys in tokens cannot be made here yet")
    from mta.adapters.private_files import write_private
    from mta.adapters.root_keys import new_root_key

    pem, spki = new_root_key(bits)
    Path(place.place).parent.mkdir(parents=True, exist_ok=True)
    write_private(Path(place.place), pem, replace=False)
    return spki


def take_key(configuration: Configuration, place: RootKeyPlace, source: Path | None) -> bytes:
    """Bring a key into its place, or take it as it lies there; its public half, DER. Raises UsageError, MtaError."""
    from mta.adapters.private_files import read_private, write_private
    from mta.adapters.root_keys import load_root_key, spki

    if place.place.startswith(TOKEN):
        raise UsageError("keys in tokens cannot be taken over here yet")
    if source is not None:
        load_root_key(source)
        write_private(Path(place.place), read_private(source), replace=False)
    return spki(load_root_key(Path(place.place)).public_key())


def remove_key(configuration: Configuration, key: RootKey) -> None:
    """The end of a key where it is."""
    from mta.adapters.private_files import overwrite_and_remove

    if not key.place.startswith(TOKEN):
        overwrite_and_remove(Path(key.place))
