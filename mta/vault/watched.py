"""What witnesses have made of our log, by what lies in the store: nobody is asked."""

from __future__ import annotations

from dataclasses import dataclass

from mta.contract.protection import Witness
from mta.errors import TlogError
from mta.ports.vault_log import Watch
from mta.rfc.tlog.checkpoint import cosigned_at, open_checkpoint, read_checkpoint
from mta.rfc.tlog.note import Note
from mta.vault.tree import log_key
from mta.vault.vault import Vault

_DEEP = 1000  # checkpoints that are looked through


@dataclass(frozen=True, slots=True)
class Watched:
    """One witness: the largest checkpoint that bears its cosignature, since when, and what it said besides.

    `missing`: entries of the log that it has not countersigned. `at`, `heard` in epoch seconds, 0: never.
    """

    name: str
    key: str
    size: int
    at: float
    missing: int
    heard: float = 0.0
    fault: str = ""
    refusal: str = ""


async def watched(vault: Vault) -> tuple[list[Watched], list[str]]:
    """Every configured witness, and what does not hold: cosignatures that are none, and what witnesses contradict."""
    notes, faults = [], list[str]()
    for text in await vault.store.checkpoints(-1, _DEEP):
        try:
            notes.append(open_checkpoint(text.encode(), log_key(vault))[1])
        except TlogError as error:
            faults.append(f"a checkpoint that was kept: {error}")
    size, known = (await vault.store.head()).size, await vault.store.watches()
    found = []
    for one in vault.protection.witnesses:
        seen, at = _largest(one, notes, faults)
        watch = known.get(str(one.key), Watch(one.name))
        row = Watched(one.name, str(one.key), seen, at, size - seen, watch.heard, watch.fault, watch.refusal)
        faults += [watch.refusal] if watch.refusal else []
        found.append(row)
    return found, faults


def _largest(witness: Witness, notes: list[Note], faults: list[str]) -> tuple[int, float]:
    for note in notes:
        for signature in note.signatures:
            if not signature.by(witness.key):
                continue
            size = read_checkpoint(note.text).size
            try:
                return size, float(cosigned_at(note.text, signature, witness.key))
            except TlogError as error:
                faults.append(f"the checkpoint of {size} entries: {error}")
    return 0, 0.0
