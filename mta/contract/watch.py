"""Noticing that a file of the configuration was changed: by its stamps, so that a look costs a stat a file.

A path is followed to what it leads to, so a renewed file, a renamed one and a symbolic link that was turned (as
Kubernetes does with a whole folder) all look the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

Stamp = tuple[int, ...]
GONE: Stamp = ()


def stamp_of(state: os.stat_result) -> Stamp:
    """What changes whenever a file does; its rights count, since they may be what was wrong."""
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def stamp(path: str) -> Stamp:
    """The stamp of what stands at `path` now; GONE if nothing does that can be seen."""
    try:
        return stamp_of(os.stat(path))
    except (OSError, ValueError):
        return GONE


def unchanged(known: Mapping[str, Stamp]) -> bool:
    """Whether every file is what it was when it was read."""
    return all(stamp(path) == seen for path, seen in known.items())


class FileWatch:
    """Compares files with what was last read of them; `known` are the stamps of that reading."""

    def __init__(self, known: Mapping[str, Stamp]) -> None:
        self._known = dict(known)
        self._seen = self._known

    @property
    def being_written(self) -> bool:
        """Whether files had changed at the last look: somebody may still be writing them."""
        return self._seen != self._known

    def changed(self) -> tuple[str, ...]:
        """The files that differ, once two looks in a row found the same: whoever writes a pair needs a moment."""
        before, self._seen = self._seen, _stamps(self._known)
        if self._seen != before:
            return ()
        return tuple(path for path, known in self._known.items() if self._seen[path] != known)

    def take(self, known: Mapping[str, Stamp]) -> None:
        """These files were read and are in force: they are watched from now on."""
        self._known = self._seen = dict(known)

    def refuse(self, known: Mapping[str, Stamp]) -> None:
        """These files were read and found bad: none is tried again before any of them, or of the old ones, changes."""
        self._known = self._seen = {**_stamps(self._known), **known}


def _stamps(paths: Iterable[str]) -> dict[str, Stamp]:
    return {path: stamp(path) for path in paths}
