"""What `mta check` and the page of metrics see of our log's witnesses: by what lies in the vault, nobody is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from mta.config.problems import Path as Place
from mta.contract.configuration import Configuration
from mta.contract.protection import Protection
from mta.errors import StorageError
from mta.observe import metrics
from mta.observe.metrics import Sample
from mta.ports.vault_log import Watch

LATE = 3600.0  # seconds without a word from a witness that are worth a warning
_REFUSED = "bring back the newest vault.db; if there is none, see docs/protected.md, `Witnesses`"


def witness_findings(protection: Protection, now: float) -> Iterator[tuple[bool, Place, str, str]]:
    """What is wrong with witnesses: whether it is a problem (else a warning), where, what and what to do.

    Raises StorageError.
    """
    where: Place = ("protection", "log", "witnesses")
    for watch, size in _watches(protection):
        if watch.refusal:
            yield True, where, watch.refusal, _REFUSED
        elif watch.fault and now - watch.heard > LATE:
            text = f"{watch.name} has countersigned {watch.size} of the log's {size} entries: {watch.fault}"
            yield False, where, text, "the log goes on; the witness is asked again"


def witness_samples(configuration: Configuration) -> list[Sample]:
    """How far each witness is behind, and whether it contradicts; none where the vault cannot be read."""
    protection, found = configuration.protection, list[Sample]()
    if protection is None or not protection.witnesses:
        return found
    try:
        known = _watches(protection)
    except StorageError:
        return found
    for watch, size in known:
        labels = (watch.name,)
        found.append((metrics.WITNESS_LAG.name, labels, float(size - watch.size)))
        found.append((metrics.WITNESS_HEARD.name, labels, watch.heard))
        found.append((metrics.WITNESS_CONTRADICTS.name, labels, float(bool(watch.refusal))))
    return found


def _watches(protection: Protection) -> list[tuple[Watch, int]]:
    """Each configured witness, in their order, with the log's length; none where there is no vault yet."""
    from mta.adapters.vault_sqlite import open_vault

    folder = Path(protection.store)
    if not protection.witnesses or not (folder / "vault.db").exists():
        return []

    async def read() -> list[tuple[Watch, int]]:
        store = open_vault(folder)
        try:
            known, size = await store.watches(), (await store.head()).size
            return [(known.get(str(one.key), Watch(one.name)), size) for one in protection.witnesses]
        finally:
            await store.close()

    return asyncio.run(read())
