"""What PostgreSQL and the way to it say, as errors of ours."""

from __future__ import annotations

import asyncpg

from mta.errors import MtaError, SchemaTooNew, StorageError, StorageFull

# Nothing was said by the database that would concern this statement: the line, or the server, is gone.
LOST = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.ReadOnlySQLTransactionError,  # we speak with a server that has become a standby
)
# Two changed the same rows at once, in another order: the transaction is simply run again.
AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError, asyncpg.LockNotAvailableError)
_NO_ROOM = (asyncpg.InsufficientResourcesError,)


def storage_error(fault: BaseException, doing: str) -> MtaError:
    """The exception to raise for `fault`, met while `doing` something; an error of ours stays what it is."""
    if isinstance(fault, MtaError):
        return fault
    told = f"the shared queue could not {doing}: {fault or type(fault).__name__}"
    if isinstance(fault, LOST):
        return StorageError(f"{told}; the database cannot be reached")
    if isinstance(fault, _NO_ROOM):
        return StorageFull(f"{told}; look for free space and limits of the database")
    return StorageError(told)


__all__ = ["AGAIN", "LOST", "SchemaTooNew", "storage_error"]
