"""A folder of certificate files (ports.CertificateSource): watched, and indexed so that a look-up costs no reading.

At each look-up the folder is asked whether its list of files has changed (a stat a folder), and every file that an
answer comes from, whether it is still the one that was read. Only a change leads to a scan, of the folders that have
changed, and a scan reads only what is new. All of it runs in one thread of its own: the folder may lie on a slow disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import apsw

from mta.adapters.directory.files import write_certificate
from mta.adapters.directory.index import FolderIndex, Row
from mta.adapters.directory.scan import FileRead, Stamp, Tree, folder_stamp, read_entries, scan
from mta.model.address import Mailbox
from mta.model.directory import Candidate, SourceAnswer, SourceStatus, TrustRung
from mta.observe import events
from mta.observe.log import EventLog

FULL_SCAN = 60.0  # seconds: so often files that were overwritten in their place are looked for
_FEW_FOLDERS = 64  # up to here every look-up asks all of them
_PAUSES = 10.0  # a scan is followed by a pause of so many times as long as it took
_QUICK = 0.1  # seconds: unless it was so quick
_RESTLESS = 100  # unusable files that are looked at again at each look-up: somebody may be writing them
_BATCH = 2000  # files of one transaction
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FolderSettings:
    """`root` is the folder, `index` the file of its index (None: in memory), `rung` what its files are worth."""

    root: Path
    index: Path | None
    rung: TrustRung = TrustRung.MANUAL
    name: str = "folder"


class FolderSource:
    """Certificates in files."""

    keeps = False  # it watches its own store

    def __init__(self, settings: FolderSettings, log: EventLog) -> None:
        self.name = settings.name
        self.rung = settings.rung
        self._root = settings.root
        self._settings = settings
        self._log = log
        self._thread = ThreadPoolExecutor(1, "directory-folder")
        self._index: FolderIndex | None = None
        self._folders: dict[str, int] = {}
        self._restless: dict[str, Stamp] = {}
        self._next_full = 0.0
        self._rest_until = 0.0

    async def find(self, mailbox: Mailbox) -> SourceAnswer:
        """Certificates whose file, or whose own names, say this address or its domain."""
        return await self._in_thread(lambda: self._answer(mailbox))

    async def listing(self, pattern: str) -> list[tuple[str, str, bytes]]:
        """Every certificate whose key matches the GLOB pattern: key, file and DER."""
        return await self._in_thread(lambda: self._fresh().everything(pattern))

    async def faults(self) -> list[tuple[str, str]]:
        """Every file that cannot be used, and why."""
        return await self._in_thread(lambda: self._fresh().faults())

    async def add(self, key: str, der: bytes, chain: tuple[bytes, ...]) -> str:
        """Write a certificate for `key` (an address or `@domain`) into the folder; its path. Raises UsageError."""
        return await self._in_thread(lambda: str(write_certificate(self._root, key, der, chain)))

    async def refresh(self) -> None:
        """Read what has come, before anybody asks."""
        await self._in_thread(self._refresh)

    async def close(self) -> None:
        """Let go of the index."""
        await self._in_thread(self._close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # --- in the thread

    def _refresh(self) -> None:
        with contextlib.suppress(OSError, apsw.Error):  # who asks hears of it
            self._fresh()

    def _close(self) -> None:
        if self._index is not None:
            self._index.close()
            self._index = None

    def _answer(self, mailbox: Mailbox) -> SourceAnswer:
        try:
            index = self._fresh()
            candidates = tuple(map(self._candidate, self._rows(index, mailbox)))
        except OSError as error:
            return SourceAnswer(SourceStatus.DOWN, detail=f"{error.filename or self._root}: {error.strerror or error}")
        except apsw.Error as error:
            return SourceAnswer(SourceStatus.DOWN, detail=f"its index {self._settings.index}: {error}")
        return SourceAnswer(SourceStatus.FOUND if candidates else SourceStatus.NONE, candidates)

    def _rows(self, index: FolderIndex, mailbox: Mailbox) -> list[Row]:
        keys = (mailbox.key, f"@{mailbox.ascii_domain}")
        rows = index.find(keys)
        stale = {row.path for row in rows if self._stamp(row.path) != row.stamp}
        if stale:
            with index.writing():
                self._read(index, iter(sorted(stale)))
            rows = index.find(keys)
        return rows

    def _candidate(self, row: Row) -> Candidate:
        assert self._index is not None
        return Candidate(
            der=row.der,
            source=self.name,
            rung=self.rung,
            found_for=row.key,
            stated=row.stated,
            chain=self._index.authorities(row.file),
            place=row.path,
        )

    def _fresh(self) -> FolderIndex:
        """The index, after the scan that may be needed."""
        if self._index is None:
            self._index = self._open()
        now = time.monotonic()
        if now >= self._next_full:
            self._scan(self._index)
            self._next_full = now + max(FULL_SCAN, _PAUSES * (time.monotonic() - now))
        elif now >= self._rest_until and (changed := self._changed()):
            self._scan(self._index, changed)
            spent = time.monotonic() - now
            self._rest_until = now + _PAUSES * spent if spent > _QUICK else 0.0
        return self._index

    def _open(self) -> FolderIndex:
        try:
            return FolderIndex(self._settings.index)
        except (apsw.CantOpenError, apsw.ReadOnlyError, apsw.FullError) as error:  # slower, and as good
            self._log.warning(
                events.DIRECTORY_FAULT, source=self.name, file=str(self._settings.index), error=str(error)
            )
            return FolderIndex(None)

    def _changed(self) -> set[str]:
        """The folders in which something has come or gone, or a file that was unusable is another one now."""
        asked = islice(self._folders.items(), _FEW_FOLDERS)
        changed = {below for below, stamp in asked if folder_stamp(self._root / below) != stamp}
        restless = {path for path, stamp in self._restless.items() if self._stamp(path) != stamp}
        return changed | {path.rpartition("/")[0] for path in restless}

    def _stamp(self, path: str) -> Stamp | None:
        try:
            state = (self._root / path).stat()
        except FileNotFoundError:
            return None
        return state.st_mtime_ns, state.st_size

    # --- scanning

    def _scan(self, index: FolderIndex, changed: set[str] | None = None) -> None:
        """Bring the index up to date: all of it, or for folders in which something has changed."""
        if changed is None:
            tree = scan(self._root)
            gone = set[str]()
        else:
            tree = scan(self._root, changed, self._folders)
            gone = {
                folder for folder in self._folders for below in changed - tree.folders.keys() if _is_in(folder, below)
            }
        self._compare(index, tree, None if changed is None else tree.folders.keys() | gone)
        for below, fault in tree.faults.items():
            self._log.warning(events.DIRECTORY_FAULT, source=self.name, file=below, error=fault)
        kept = {} if changed is None else {folder: at for folder, at in self._folders.items() if folder not in gone}
        self._folders = kept | tree.folders
        unusable = [path for path, _ in index.faults()][:_RESTLESS]
        self._restless = {path: stamp for path in unusable if (stamp := self._stamp(path)) is not None}

    def _compare(self, index: FolderIndex, tree: Tree, folders: Iterable[str] | None) -> None:
        """Read what the index has not, and forget what is not there; in these folders, or in all."""

        def known() -> dict[str, Stamp]:
            return index.stamps() if folders is None else index.stamps_of(folders)

        if tree.files == known():
            return
        with index.writing():
            before = known()  # somebody else may have read them while we waited
            index.forget(before.keys() - tree.files.keys())
            self._read(index, (path for path, stamp in tree.files.items() if before.get(path) != stamp))

    def _read(self, index: FolderIndex, paths: Iterator[str]) -> None:
        while batch := list(islice(paths, _BATCH)):
            read = {path: self._read_one(path) for path in batch}
            index.forget(path for path, file in read.items() if file is None)
            index.put(file for file in read.values() if file is not None)

    def _read_one(self, path: str) -> FileRead | None:
        """What is in a file, or why it cannot be used; None: it is gone."""
        try:
            stamp, entries = read_entries(self._root, path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            fault = str(getattr(error, "strerror", None) or error)
            self._log.warning(events.DIRECTORY_FAULT, source=self.name, file=path, error=fault)
            return FileRead(path, self._stamp(path) or (0, 0), (), fault)
        return FileRead(path, stamp, entries)


def _is_in(folder: str, below: str) -> bool:
    return folder == below or folder.startswith(f"{below}/")
