"""`mta directory list|approve|import|export`: the certificates that are kept here, in folders and learned from mail."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mta.app.directory import Stores, open_stores
from mta.app.load import load
from mta.cli.directory import ask, certificate_document, read_mailbox
from mta.cli.paint import moment
from mta.config.values import ValueFault, domain_name
from mta.contract.configuration import Configuration
from mta.errors import UsageError
from mta.rfc.pkix.bundle import certificates_in, pem_of
from mta.rfc.pkix.person import person_facts

LARGEST = 16 << 20


def show(config: str, which: str, pending: bool, json_output: bool) -> int:
    """List what is kept for an address, a domain or all; 0 if there is anything."""
    rows, faults = asyncio.run(_listing(load(config), which))
    shown = [row for row in rows if not pending or row["state"] == "pending"]
    if json_output:
        print(json.dumps({"certificates": shown, "faults": faults}, indent=2))
        return 0 if shown else 1
    for row in shown:
        words = (row["found_for"], row["sha256"][:16], row.get("not_after", "")[:10], row["source"], row["state"])
        print("  ".join(word for word in words if word))
    for fault in faults:
        print(f"{fault['source']}: {fault['file']}: {fault['fault']}", file=sys.stderr)
    if not shown:
        print("no certificate is kept here for that", file=sys.stderr)
    return 0 if shown else 1


async def _listing(configuration: Configuration, which: str) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    async with open_stores(configuration) as stores:
        rows = [row for row, _ in await _rows(stores, _glob(which))]
        faults = [
            {"source": folder.name, "file": path, "fault": fault}
            for folder in stores.folders
            for path, fault in await folder.faults()
        ]
    return rows, faults


async def _rows(stores: Stores, pattern: str) -> list[tuple[dict[str, Any], bytes]]:
    """Each certificate that is kept: its document and its octets."""
    rows: list[tuple[dict[str, Any], bytes]] = []
    for folder in stores.folders:
        for key, path, der in await folder.listing(pattern):
            rows.append((_row(key, folder.name, der, place=path), der))
    if stores.harvested is not None:
        for one in await stores.harvested.listing(pattern):
            seen = {"first_seen": moment(one.first), "last_seen": moment(one.seen)}
            rows.append((_row(one.key, stores.harvested.name, one.der, state=one.state) | seen, one.der))
    return rows


def _row(key: str, source: str, der: bytes, *, place: str = "", state: str = "") -> dict[str, Any]:
    return {"found_for": key, "source": source, "place": place, "state": state} | certificate_document(der)


def _glob(which: str) -> str:
    """The keys that are meant, as SQLite's GLOB: all, those of a domain, or one address. Raises UsageError."""
    if not which:
        return "*"
    if "@" not in which or which.startswith("@"):
        try:
            return f"*@{domain_name(which.removeprefix('@'))}"
        except ValueFault as fault:
            raise UsageError(str(fault)) from fault
    return "".join(f"[{c}]" if c in "*?[" else c for c in read_mailbox(which).key)


# --- what was learned ---------------------------------------------------------------------------------------------


def approve(config: str, address: str, digest: str, *, reject: bool, json_output: bool) -> int:
    """Let a certificate that was learned be used, or never. Raises UsageError where it is not clear which is meant."""
    key, wanted = read_mailbox(address).key, digest.replace(":", "").lower()
    changed = asyncio.run(_decide(load(config), key, wanted, "rejected" if reject else "approved"))
    if json_output:
        print(json.dumps({"certificates": changed}, indent=2))
    for row in () if json_output else changed:
        print(f"{row['found_for']}  {row['sha256'][:16]}  {row['state']}")
    if not changed:
        print(f"nothing was learned of {address}" + (f" that begins with {digest}" if digest else ""), file=sys.stderr)
    return 0 if changed else 1


async def _decide(configuration: Configuration, key: str, digest: str, state: str) -> list[dict[str, Any]]:
    async with open_stores(configuration) as stores:
        if stores.harvested is None:
            raise UsageError("no certificates are learned: directory.sources has no entry {type: harvested}")
        known = [one for one in await stores.harvested.listing(_glob(key)) if one.sha256.startswith(digest)]
        if len(known) > 1:
            digests = ", ".join(one.sha256[:16] for one in known)
            raise UsageError(f"{len(known)} certificates of {key} are meant: name one by its digest ({digests})")
        decided = [one for two in known for one in await stores.harvested.decide(key, two.sha256, state)]
    return [_row(one.key, "harvested", one.der, state=one.state) for one in decided]


# --- files --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Import:
    """What `mta directory import` was asked for. `address` may be `@domain`; empty: what the certificates name."""

    files: tuple[str, ...]
    address: str = ""
    config: str = "connectors.yaml"


def take_in(wanted: Import, json_output: bool) -> int:
    """Copy certificates into the first folder source. Raises UsageError."""
    return asyncio.run(_take_in(wanted, json_output))


async def _take_in(wanted: Import, json_output: bool) -> int:
    configuration = load(wanted.config)
    read = [
        (file, _read(file)) for file in wanted.files
    ]  # all of them, with our own rights, before anything is written
    async with open_stores(configuration) as stores:
        if not stores.folders:
            raise UsageError("there is no folder to keep certificates in: directory.sources needs {type: folder, ...}")
        folder = stores.folders[0]
        parcels = [parcel for file, ders in read for parcel in _parcels(file, ders, wanted.address)]
        written = [
            {"found_for": key, "file": await folder.add(key, der, chain), **certificate_document(der)}
            for key, der, chain in parcels
        ]
    if json_output:
        print(json.dumps({"certificates": written}, indent=2))
    for one in () if json_output else written:
        print(f"{one['found_for']}  {one['sha256'][:16]}  {one['file']}")
    return 0


def _read(file: str) -> tuple[bytes, ...]:
    try:
        data = sys.stdin.buffer.read(LARGEST + 1) if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    try:
        if len(data) > LARGEST:
            raise ValueError(f"it is larger than {LARGEST >> 20} MiB")
        return certificates_in(data)
    except ValueError as error:
        raise UsageError(f"{file}: {error}") from error


def _parcels(file: str, ders: Sequence[bytes], address: str) -> list[tuple[str, bytes, tuple[bytes, ...]]]:
    """For whom, which certificate, and the CAs beside it."""
    try:
        facts = [(der, person_facts(der)) for der in ders]
    except ValueError as error:
        raise UsageError(f"{file}: {error}") from error
    chain = tuple(der for der, person in facts if person.is_authority)
    people = [(der, person) for der, person in facts if not person.is_authority]
    if not people:
        raise UsageError(f"{file} holds certificates of CAs only: those belong into directory.trust")
    if address:
        return [(_key(address), der, chain) for der, _ in people]
    nameless = next((der for der, person in people if not person.emails), None)
    if nameless is not None:
        subject = certificate_document(nameless)["subject"]
        raise UsageError(f"{file}: {subject} names no address: write --address, of a person or @domain")
    return [(read_mailbox(email).key, der, chain) for der, person in people for email in person.emails]


def _key(address: str) -> str:
    if not address.startswith("@"):
        return read_mailbox(address).key
    try:
        return f"@{domain_name(address[1:])}"
    except ValueFault as fault:
        raise UsageError(str(fault)) from fault


def export(config: str, which: str) -> int:
    """Write PEM to standard output: of an address the certificate that would be used, else all that are kept."""
    configuration = load(config)
    if "@" in which and not which.startswith("@"):
        answer = asyncio.run(ask(configuration, read_mailbox(which)))
        if answer.chosen is None:
            print(f"{which}: {answer.status.value}: {answer.detail}", file=sys.stderr)
            return 1
        print(_pem(which, answer.chosen.source, answer.chosen.der))
        return 0
    rows = asyncio.run(_kept(configuration, which))
    usable = [(row, der) for row, der in rows if row["state"] not in ("pending", "rejected")]
    for row, der in usable:
        print(_pem(row["found_for"], row["source"], der))
    return 0 if usable else 1


async def _kept(configuration: Configuration, which: str) -> list[tuple[dict[str, Any], bytes]]:
    async with open_stores(configuration) as stores:
        return await _rows(stores, _glob(which))


def _pem(key: str, source: str, der: bytes) -> str:
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return f"# {key}, of {source}, exported {day}\n{pem_of(der)}".rstrip()
