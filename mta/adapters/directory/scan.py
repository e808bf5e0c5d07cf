"""What lies in a folder of certificate files, and what one such file holds."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from mta.rfc.pkix.bundle import certificates_in
from mta.rfc.pkix.person import DOMAIN_AUTHORITY, PersonFacts, person_facts
from mta.rfc.smtp.address import AddressError, ascii_domain, parse_mailbox

DEEPEST = 8  # folders below the one that is configured
LARGEST = 1 << 20  # octets of a file
_PASSED_OVER = ("~", ".key", ".part", ".swp", ".tmp")
_SUFFIXES = (".pem", ".crt", ".cer", ".der", ".p7b", ".p7c", ".p7s")
_YOUNG = 2_000_000_000  # nanoseconds: what changed so lately may change again within one tick of the file system
Stamp = tuple[int, int]  # modification time in nanoseconds, size


@dataclass(slots=True)
class Tree:
    """Folders with their stamps (0: not settled) and files, by path below the root; `faults` of unreadable folders."""

    folders: dict[str, int] = field(default_factory=dict)
    files: dict[str, Stamp] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)


def scan(root: Path, begin: Iterable[str] = ("",), indexed: Container[str] = ()) -> Tree:
    """What is in the folders `begin` and below them, but for folders that are `indexed`.

    Raises OSError if `root` itself cannot be read; a folder that has gone is not in the tree.
    """
    tree = Tree()
    waiting = [(below, below.count("/") + bool(below)) for below in begin]
    while waiting:
        below, depth = waiting.pop()
        try:
            waiting += (folder for folder in _scan_folder(root, below, depth, tree) if folder[0] not in indexed)
        except OSError as error:
            if not below:
                raise
            if not isinstance(error, FileNotFoundError):
                tree.faults[below] = error.strerror or str(error)
    return tree


def folder_stamp(path: Path) -> int:
    """When a folder's list of files last changed; -1 if it is gone. Raises OSError if that cannot be seen."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return -1


def _scan_folder(root: Path, below: str, depth: int, tree: Tree) -> list[tuple[str, int]]:
    path = root / below
    stamp = folder_stamp(path)
    found = []
    with os.scandir(path) as entries:
        for entry in entries:
            name = f"{below}/{entry.name}" if below else entry.name
            if entry.name.startswith(".") or entry.name.endswith(_PASSED_OVER):
                continue
            if entry.is_dir(follow_symlinks=False):
                if depth < DEEPEST:
                    found.append((name, depth + 1))
                continue
            try:
                state = entry.stat()
            except OSError:
                continue  # it has just gone, or leads nowhere
            if stat.S_ISREG(state.st_mode):
                tree.files[name] = (state.st_mtime_ns, state.st_size)
    tree.folders[below] = stamp if time.time_ns() - stamp > _YOUNG else 0
    return found


@dataclass(frozen=True, slots=True)
class Entry:
    """One certificate of a file with the keys it is found by; `stated` are those that the file's name says."""

    der: bytes
    is_authority: bool
    named: frozenset[str] = frozenset()
    stated: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class FileRead:
    """A file as it was read: its certificates, or what was at fault."""

    path: str
    stamp: Stamp
    entries: tuple[Entry, ...]
    fault: str = ""


def read_entries(root: Path, name: str) -> tuple[Stamp, tuple[Entry, ...]]:
    """The certificates of the file `name` below `root`, and its stamp. Raises OSError or ValueError."""
    with open(root / name, "rb") as file:
        state = os.fstat(file.fileno())
        data = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST >> 20} MiB")
    stated = frozenset(filter(None, map(key_of_name, Path(name).parts)))
    return (state.st_mtime_ns, state.st_size), tuple(_entry(der, stated) for der in certificates_in(data))


def _entry(der: bytes, stated: frozenset[str]) -> Entry:
    facts = person_facts(der)
    if facts.is_authority:
        return Entry(der, True)
    return Entry(der, False, frozenset(keys(facts)), stated)


def keys(facts: PersonFacts) -> set[str]:
    """What a certificate is found by: the addresses it names, `@domain` if it is one of a domain (RFC 3183)."""
    addresses: set[str] = set()
    for email in facts.emails:
        try:
            mailbox = parse_mailbox(email)
        except AddressError:
            continue
        addresses.add(mailbox.key)
        if mailbox.name == DOMAIN_AUTHORITY:
            addresses.add(f"@{mailbox.ascii_domain}")
    addresses.update(f"@{name}" for name in facts.dns_names)
    return addresses


def key_of_name(part: str) -> str:
    """The address or `@domain` that a file or folder is called after; empty for any other name."""
    suffix = next((ending for ending in _SUFFIXES if part.lower().endswith(ending)), "")
    part = part[: len(part) - len(suffix)] if suffix else part
    try:
        if part.startswith("@"):
            return f"@{ascii_domain(part[1:])}"
        return parse_mailbox(part).key if "@" in part else ""
    except AddressError:
        return ""
