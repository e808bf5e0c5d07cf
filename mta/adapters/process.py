"""What a process asks of the operating system: to die with its parent, to lose its privileges."""

from __future__ import annotations

import ctypes
import grp
import os
import pwd
import signal

from mta.errors import UsageError

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when its parent ends; ends it at once if that has happened already."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def drop_privileges(user: str) -> None:
    """Become `user` for good, with its groups. Nothing happens unless we are root. Raises UsageError."""
    if os.getuid() != 0 or not user:
        return
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise UsageError(f"server.user: there is no user called {user} on this machine") from None
    os.setgroups([group.gr_gid for group in grp.getgrall() if user in group.gr_mem] or [entry.pw_gid])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ["HOME"] = entry.pw_dir


def own(path: str, user: str) -> None:
    """Make `path` belong to `user` before privileges are dropped. Nothing happens unless we are root."""
    if os.getuid() == 0 and user:
        try:
            entry = pwd.getpwnam(user)
        except KeyError:
            raise UsageError(f"server.user: there is no user called {user} on this machine") from None
        os.chown(path, entry.pw_uid, entry.pw_gid)
