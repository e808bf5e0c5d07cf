"""What a process asks of the operating system: to die with its parent, to leave signals alone, descriptors."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from collections.abc import Iterator

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends; ends it at once if that has happened already."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def ignore_terminal() -> None:
    """A terminal's interrupt and hang-up go to all processes of the group, but are one process's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def raise_descriptors() -> int:
    """As many descriptors as the administrator allows; how many that are."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def lines(descriptor: int) -> Iterator[bytes]:
    """The lines that come through a pipe, without their ends, until it ends. Blocks.

    Not by a file object: a thread that waits inside of one would hold its lock when the interpreter ends.
    """
    rest = bytearray()
    while piece := os.read(descriptor, 65_536):
        rest += piece
        *whole, last = rest.split(b"\n") if b"\n" in piece else [rest]
        rest = bytearray(last)
        yield from map(bytes, whole)
