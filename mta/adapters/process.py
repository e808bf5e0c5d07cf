"""What a process asks of the operating system: to die with its parent, to lose its privileges."""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

from mta.errors import UsageError

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


def drop_privileges(user: str) -> bool:
    """Become `user` for good, with its groups; False: we are not root, nothing happened. Raises UsageError."""
    if os.getuid() != 0 or not user:
        return False
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise UsageError(f"server.user: there is no user called {user} on this machine") from None
    os.setgroups([group.gr_gid for group in grp.getgrall() if user in group.gr_mem] or [entry.pw_gid])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ["HOME"] = entry.pw_dir
    return True


def make_private(folder: Path) -> None:
    """A folder that nobody but its owner may enter. Raises UsageError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise UsageError(f"server.queue: the folder {folder} cannot be used: {error.strerror}") from error


def own(path: str, user: str) -> None:
    """Make `path` belong to `user` before privileges are dropped. Nothing happens unless we are root."""
    if os.getuid() == 0 and user:
        try:
            entry = pwd.getpwnam(user)
        except KeyError:
            raise UsageError(f"server.user: there is no user called {user} on this machine") from None
        os.chown(path, entry.pw_uid, entry.pw_gid)
