"""`mta protect` and `mta open`: files sealed for their readers, and opened as one of them."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import json
import mimetypes
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from mta.app.commands import acting_for
from mta.app.load import load
from mta.app.vault import open_vault, protection_of
from mta.cli.open_away import is_away, is_elsewhere, key_from_away
from mta.cli.vault_words import (
    administrator,
    granted_to,
    item_document,
    life,
    one_label,
    read_reader,
    readers_of,
    told_refusal,
)
from mta.contract.configuration import Configuration
from mta.errors import KeyAway, NotOpened, StorageError, TdfError, UsageError
from mta.model.protected import Actor, Item
from mta.model.rights import Right
from mta.observe.vault_events import Operation
from mta.rfc.tdf.open import Opened, Protected, read_protected, unlock
from mta.rfc.tdf.seal import Spelling
from mta.vault.open import OpenRequest, open_key
from mta.vault.seal import SealRequest, seal_item


@dataclass(frozen=True, slots=True)
class ProtectOptions:
    """What `mta protect` was asked for."""

    file: str
    label: str
    to: tuple[str, ...]
    owner: str = ""
    out: str = ""
    expires: str = ""
    spelling: str = "4.3"
    config: str = "connectors.yaml"


@dataclass(frozen=True, slots=True)
class OpenOptions:
    """What `mta open` was asked for."""

    file: str
    reader: str = ""
    out: str = ""
    config: str = "connectors.yaml"
    super_user: bool = False  # `reader` is then who holds a leave


def protect(options: ProtectOptions, json_output: bool) -> int:
    """Seal a file; 0 when it is written. Raises UsageError and MtaError."""
    configuration = load(options.config)
    request = _request(options, configuration)
    out = Path(options.out or ("protected.tdf" if options.file == "-" else f"{options.file}.tdf"))
    with _source(options.file) as source, _whole(out) as target:
        size = None if options.file == "-" else os.fstat(source.fileno()).st_size
        request = replace(request, size=size)
        with acting_for(protection_of(configuration).store, configuration.server.user):
            item, grants = asyncio.run(_seal(configuration, request, source, target))
    document = {**item_document(item, grants), "file": str(out)}
    if json_output:
        print(json.dumps(document, indent=2))
    else:
        print(f"{out}: item {item.id}, label {item.label}, for {', '.join(request.readers) or 'its owner alone'}")
    return 0


def _request(options: ProtectOptions, configuration: Configuration) -> SealRequest:
    label = one_label(protection_of(configuration), options.label)
    owner = read_reader(options.owner or configuration.server.postmaster)
    name = "" if options.file == "-" else os.path.basename(options.file)
    if options.spelling not in set(Spelling):
        raise UsageError(f"--spelling is 4.3 or 4.2, not {options.spelling}")
    if options.expires:
        label = replace(label, expires=life(options.expires))
    return SealRequest(
        label=label,
        owner=owner,
        readers=readers_of(label, options.to),
        actor=administrator(),
        name=name,
        mime_type=mimetypes.guess_type(name)[0] or "application/octet-stream",
        spelling=Spelling(options.spelling),
    )


async def _seal(
    configuration: Configuration, request: SealRequest, source: BinaryIO, target: BinaryIO
) -> tuple[Item, list[dict[str, object]]]:
    async with open_vault(configuration) as vault:
        item = await seal_item(vault, request, source, target)
        return item, granted_to(await vault.store.grants(item.granted_as))


@contextlib.contextmanager
def _source(file: str) -> Iterator[BinaryIO]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = open(file, "rb")  # noqa: SIM115 - closed below; a fault of opening is told
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    with stream:
        yield stream


@contextlib.contextmanager
def _whole(out: Path) -> Iterator[BinaryIO]:
    """A file that appears under its name when all of it is there, and not otherwise. Raises UsageError."""
    if out.exists():
        raise UsageError(f"{out} is there already; it was left as it is (--out names another)")
    try:
        descriptor, temporary = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    except OSError as error:
        raise UsageError(f"{out} cannot be written: {error.strerror}") from error
    try:
        with open(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, out)
    except FileExistsError:
        raise UsageError(f"{out} is there already; it was left as it is") from None
    finally:
        os.unlink(temporary)


def open_file(options: OpenOptions, json_output: bool) -> int:
    """Open a file as one of its readers; 0 when it is written, 1 when it does not open. Raises UsageError, MtaError."""
    configuration = None if is_away(options.config) and not options.super_user else load(options.config)
    with _source(options.file) as file:
        try:
            protected = read_protected(file)
            key, reader = _opened_key(options, configuration, protected)
            opened = unlock(protected, key)
            out = options.out or _own_name(opened, options.file)
            _write(opened, out)
        except (NotOpened, TdfError, KeyAway, StorageError) as error:
            return told_refusal(options.file, error, json_output)
    told = {"file": out, "octets": opened.size, "reader": reader}
    if json_output:
        print(json.dumps(told, indent=2), file=sys.stderr if out == "-" else sys.stdout)
    elif out != "-":
        print(f"{out}: {opened.size} octets, opened as {reader}")
    return 0


def _opened_key(options: OpenOptions, configuration: Configuration | None, protected: Protected) -> tuple[bytes, str]:
    """The content key and for whom: of the vault here if the file is of it, else of the key server that it names."""
    if configuration is None or (not options.super_user and is_elsewhere(configuration, protected)):
        return key_from_away(protected, options.reader)
    reader = _who(options, configuration)
    with acting_for(protection_of(configuration).store, configuration.server.user):
        return asyncio.run(_key(configuration, protected, reader, options.super_user)), reader


def _who(options: OpenOptions, configuration: Configuration) -> str:
    if options.super_user:
        return options.reader or administrator().subject
    return read_reader(options.reader or configuration.server.postmaster)


async def _key(configuration: Configuration, protected: Protected, reader: str, super_user: bool) -> bytes:
    """Whoever may read the vault and use its root key on this machine asks in a reader's name; the log says who."""
    async with open_vault(configuration) as vault:
        account = getpass.getuser()
        actor = Actor(reader, "console", agent=f"account {account}")
        ours = [one for one in protected.manifest.keys if one.url == vault.url]
        access = (ours or list(protected.manifest.keys))[0]
        request = OpenRequest(
            access, protected.manifest.policy, reader, Right.VIEW, Operation.OPEN, actor, super_user, channels=None
        )
        return (await open_key(vault, request)).content_key


def _own_name(opened: Opened, file: str) -> str:
    name = opened.facts.name if opened.facts else ""
    return name or os.path.basename(file).removesuffix(".tdf") + ("" if file.endswith(".tdf") else ".opened")


def _write(opened: Opened, out: str) -> None:
    if out == "-":
        opened.copy_to(sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    with _whole(Path(out)) as target:
        opened.copy_to(target)
