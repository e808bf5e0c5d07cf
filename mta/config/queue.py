"""`server.queue`: where undelivered mail is kept, on this machine alone or shared by many."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema

from mta.config import values
from mta.config.files import Files
from mta.config.problems import Report, shown
from mta.config.words import Duration, FilePath, Keys, optional, positive
from mta.contract.queue import SharedQueue
from mta.contract.server import Server

_SQLITE, _SCHEMES = "sqlite:", ("postgresql", "postgres")
_LEAST_LEASE = 1.0  # seconds: tests have such; a network wants more
_SHORT_LEASE = 15.0


def _store(value: object) -> str:
    given = values.text(value, "a queue store")
    if given.startswith(_SQLITE) and given != _SQLITE:
        return given
    try:
        parts = urlsplit(given)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme in _SCHEMES and "://" in given and given.isascii():
        return given
    hint = "write it like sqlite:var/queue, or postgresql://mta@db.example/mta where machines share it"
    raise values.ValueFault(f"{shown(given)} is not a queue store", hint)


def _lease(value: float) -> float:
    if value < _LEAST_LEASE:
        raise values.ValueFault("expected at least 1s", "remove the key to have the default")
    return value


QueueStoreText = Annotated[
    str, PlainValidator(_store), WithJsonSchema({"type": "string", "pattern": "^(sqlite:.|postgres(ql)?://)"})
]
Lease = Annotated[Duration, AfterValidator(positive), AfterValidator(_lease)]


class QueueKeys(Keys):
    """Where undelivered mail is kept."""

    store: QueueStoreText = optional(
        "`sqlite:` and a folder; or the URL of a PostgreSQL database that several machines share (docs/cluster.md).",
        "sqlite:var/queue",
    )
    folder: FilePath = optional("With a database: the folder of what only this machine has.", "var/queue")
    lease: Lease = optional("With a database: how long after its last word a node's mail is its own.", 60.0)
    takeover_delay: Duration = optional("With a database: how long mail of a node that vanished waits.", 60.0)
    copies: Annotated[int, Field(strict=True, ge=1, le=2)] = optional(
        "With a database: on how many machines mail must be durable before it is acknowledged.", 1
    )
    generation: Annotated[int, Field(strict=True, ge=0)] = optional(
        "With a database: counts the changes of this file; older nodes leave alone what a newer one has taken.", 0
    )


def build_queue(keys: QueueKeys, files: Files) -> tuple[str, SharedQueue | None]:
    """The folder of this machine's part, as `sqlite:FOLDER`; and the shared queue, if it is one."""
    if keys.store.startswith(_SQLITE):
        return f"{_SQLITE}{files.resolve(keys.store.removeprefix(_SQLITE))}", None
    shared = SharedQueue(keys.store, keys.lease, keys.takeover_delay, keys.copies, keys.generation)
    return f"{_SQLITE}{files.resolve(keys.folder)}", shared


def check_queue(server: Server, report: Report) -> None:
    """Report what of a shared queue is seldom meant."""
    shared = server.shared
    if shared is None:
        return
    if shared.has_password:
        hint = "put it into a password file of mode 0600 and add ?passfile=/etc/mta/pgpass to the URL"
        report.warning(("server", "queue", "store"), "the password of the database stands in this file", hint)
    if shared.lease < _SHORT_LEASE:
        message = f"a node that is not heard for {shared.lease:g} seconds loses its mail to the others"
        hint = "60s rides over the failover of a database"
        report.warning(("server", "queue", "lease"), message, hint)
