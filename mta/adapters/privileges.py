"""Root in a house that belongs to somebody else: what is made and opened there is made with the owner's rights.

Whoever owns a folder, or any part of the way to it, may put a link in place of anything behind it. Root therefore
touches nothing there itself: it becomes the owner first, for a while (commands) or for good (the relay).
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mta.adapters.durable import make_folder
from mta.errors import UsageError

_MOST_LINKS = 40  # path_resolution(7)


@dataclass(frozen=True, slots=True)
class Identity:
    """As whom files are touched."""

    uid: int
    gid: int
    groups: tuple[int, ...]


def drop_privileges(user: str) -> bool:
    """Become `user` for good, with its groups; False: we are not root, nothing happened. Raises UsageError."""
    if os.getuid() != 0 or not user:
        return False
    own = identity(user)
    os.setgroups(own.groups)
    os.setgid(own.gid)
    os.setuid(own.uid)
    os.environ["HOME"] = pwd.getpwuid(own.uid).pw_dir
    return True


def identity(user: str) -> Identity:
    """The rights of a user of this machine. Raises UsageError."""
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise UsageError(f"server.user: there is no user called {user} on this machine") from None
    return _of(entry)


@contextlib.contextmanager
def acting_for(folder: str | Path, user: str = "") -> Iterator[None]:
    """With the rights of `user`, else of whoever the folder belongs to, as long as the context lasts.

    Of the whole process: for commands, and before a relay starts its threads. Nothing happens unless we are root.
    Raises UsageError.
    """
    with _acting_as(_keeper(folder, user) if os.getuid() == 0 else None):
        yield


def make_house(folder: Path, user: str, key: str = "server.queue") -> None:
    """The private folder of `user` that `key` names, made where root alone can make it. Raises UsageError.

    A folder of root's is given away only where nobody but root could have put something else in its place.
    """
    if os.getuid() == 0 and user:
        _give(folder, identity(user), key)
    with acting_for(folder, user):
        make_private(folder, key)


def make_private(folder: Path, key: str = "server.queue") -> None:
    """A folder that nobody but its owner may enter. Raises UsageError."""
    try:
        make_folder(folder)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise UsageError(f"{key}: the folder {folder} cannot be used: {error.strerror}") from error


def strangers(folder: Path, user: str) -> list[str]:
    """What lies in a folder, or one deeper, and does not belong to `user`: what root's hands have left there."""
    uid = identity(user).uid
    entries = (path for pattern in ("*", "*/*") for path in sorted(folder.glob(pattern)))
    return [str(path) for path in entries if _owner(path) not in (uid, None)]


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except OSError:
        return None  # SQLite's companions come and go


def _give(folder: Path, own: Identity, key: str) -> None:
    try:
        stats, real = _way(folder)
        if any(entry.st_uid for entry in stats):
            return  # somebody else has a hand in it: what is to be made there, `own` makes
        make_folder(folder)
        descriptor = os.open(real, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            stats, _ = _way(folder)  # once more: in a folder of everybody's somebody may have been quicker
            if not any(entry.st_uid for entry in stats) and os.path.samestat(stats[-1], os.fstat(descriptor)):
                os.fchown(descriptor, own.uid, own.gid)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UsageError(f"{key}: the folder {folder} cannot be used: {error.strerror}") from error


def _keeper(folder: str | Path, user: str) -> Identity | None:
    """None: it is root's own, all the way."""
    if user:
        return identity(user)
    try:
        stats, _ = _way(folder)
    except OSError as error:
        raise UsageError(f"{folder} cannot be used: {error.strerror}") from error
    # Its owner; if that is root, whoever could have led us to something of root's.
    foreign = next((entry for entry in (stats[-1], *stats) if entry.st_uid), None)
    if foreign is None:
        return None
    try:
        return _of(pwd.getpwuid(foreign.st_uid))
    except KeyError:
        return Identity(foreign.st_uid, foreign.st_gid, (foreign.st_gid,))


def _way(folder: str | Path) -> tuple[list[os.stat_result], str]:
    """Each part of the way to a folder, as far as it is there, links too; and where it leads. Raises OSError."""
    reached, left, links = "/", deque(os.path.abspath(folder).split("/")), 0
    stats = [os.lstat(reached)]
    while left:
        name = left.popleft()
        if name in ("", "."):
            continue
        path = os.path.dirname(reached) if name == ".." else os.path.join(reached, name)
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return stats, os.path.join(path, *left)
        stats.append(status)
        if not stat.S_ISLNK(status.st_mode):
            reached = path
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(0, "too many links", str(folder))
        target = os.readlink(path)
        left.extendleft(reversed(target.split("/")))
        reached = "/" if target.startswith("/") else reached
    return stats, reached


def _of(entry: pwd.struct_passwd) -> Identity:
    groups = [group.gr_gid for group in grp.getgrall() if entry.pw_name in group.gr_mem]
    return Identity(entry.pw_uid, entry.pw_gid, tuple(groups or [entry.pw_gid]))


@contextlib.contextmanager
def _acting_as(own: Identity | None) -> Iterator[None]:
    if own is None or own.uid == 0:
        yield
        return
    before = Identity(os.geteuid(), os.getegid(), tuple(os.getgroups()))
    _become(own)
    try:
        yield
    finally:
        _become(before)


def _become(own: Identity) -> None:
    """The effective user alone changes; the real one stays root, which may change again."""
    os.seteuid(0)
    os.setgroups(own.groups)
    os.setegid(own.gid)
    os.seteuid(own.uid)
