"""Which broken thing of the system is which StorageError of ours."""

from __future__ import annotations

import errno

import apsw

from mta.errors import MtaError, StorageError, StorageFull

# What heals by itself, or by an administrator who makes room: the peer is told 452 and comes back.
_NO_ROOM = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.EROFS, errno.EIO, errno.ENOMEM}
)
_NO_ROOM_SQLITE = (apsw.FullError, apsw.ReadOnlyError, apsw.IOError, apsw.CantOpenError, apsw.NoMemError)


class Unreadable(StorageError):
    """The disk did not give what it holds; it may the next time."""


DAMAGED = (apsw.CorruptError, apsw.NotADBError)


def storage_error(fault: BaseException, doing: str) -> MtaError:
    """The exception to raise for `fault`, met while `doing` something; an error of ours stays what it is."""
    if isinstance(fault, MtaError):
        return fault
    text = f"the queue could not {doing}: {fault or type(fault).__name__}"
    if isinstance(fault, _NO_ROOM_SQLITE):
        return StorageFull(f"{text}; look for free space, permissions and disk errors")
    if isinstance(fault, OSError) and fault.errno in _NO_ROOM:
        return StorageFull(f"{text}; look for free space, descriptors and disk errors")
    if isinstance(fault, DAMAGED):
        return StorageError(f"{text}; the file is damaged, stop the server and check the disk")
    return StorageError(text)
