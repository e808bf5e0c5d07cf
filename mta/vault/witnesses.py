"""The witnesses of our log: asked before a process opens or signs anything, and after each new checkpoint.

A vault that came back from an old backup cannot know it. Its witnesses do: they have seen a larger log, or another one.
Then nothing opens and nothing is signed until the newer vault is back. A witness that does not answer is no reason to
stop; it is asked again, and who runs the relay is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from mta.contract.protection import Witness
from mta.errors import LogRefused, TlogError, WitnessAway
from mta.model.protected import Actor, VaultEvent
from mta.observe.vault_events import Operation, Result
from mta.ports.vault_log import Watch
from mta.rfc.tlog.checkpoint import Checkpoint, open_checkpoint
from mta.rfc.tlog.merkle import EMPTY
from mta.rfc.tlog.note import Note
from mta.rfc.tlog.witness import AddCheckpoint, Contradicts, Cosigned, conclude, write_request
from mta.vault.tree import consistency, log_key, signed
from mta.vault.vault import Vault

RENEWED = 600.0  # seconds after which a witness is asked again, though the log has not grown
PATIENCE = 15.0  # seconds for one witness in all
_FIRST_REST, _LONGEST_REST = 5.0, 300.0  # seconds between two tries with a witness that does not answer
_TRIES = 4  # requests until size and proof fit
_SYSTEM = Actor("mta", "system")


async def settle(vault: Vault) -> None:
    """Ask the witnesses what they have seen, once in a process; whoever opens or signs waits for it.

    What they hold against the log stands in the store from then on. Raises StorageError.
    """
    standing = vault.standing
    if standing.settled:
        return
    async with standing.lock:
        if standing.settled:
            return
        known, now = await _known(vault), vault.clock.now()
        late = [one for one in vault.protection.witnesses if now - known[str(one.key)].heard > standing.fresh]
        standing.untold = await _ask_all(vault, late, known)
        standing.settled = True


async def attend(vault: Vault) -> None:
    """Ask every witness that is due.

    Raises LogRefused where one knows another log, WitnessAway where one did not answer this time.
    """
    await settle(vault)
    if not vault.protection.witnesses:
        return
    known, now = await _known(vault), vault.clock.monotonic()
    size = (await _newest(vault))[0].size
    due = [
        one
        for one in vault.protection.witnesses
        if now >= vault.standing.rests.get(one.name, (0.0, 0.0))[0] and _is_due(vault, known[str(one.key)], size)
    ]
    answers = [*vault.standing.untold, *await _ask_all(vault, due, known)]
    vault.standing.untold = []
    told = [watch for watch in answers if watch.refusal or watch.fault]
    text = "; ".join(watch.refusal or _lag(watch, size) for watch in told)
    if any(watch.refusal for watch in told):
        raise LogRefused(text)
    if told:
        raise WitnessAway(text)


def _is_due(vault: Vault, watch: Watch, size: int) -> bool:
    return bool(watch.fault or watch.refusal) or watch.size < size or vault.clock.now() - watch.heard > RENEWED


def _lag(watch: Watch, size: int) -> str:
    return f"the witness {watch.name} has countersigned {watch.size} of {size} entries: {watch.fault}"


async def _known(vault: Vault) -> dict[str, Watch]:
    """What is known of each configured witness. One that is configured no more is forgotten, which is logged."""
    known = await vault.store.watches()
    wanted = {str(one.key): one for one in vault.protection.witnesses}
    for key in known.keys() - wanted.keys():
        reason = f"{known[key].name} is no witness of the log any more"
        held = f"; it said: {known[key].refusal}" if known[key].refusal else ""
        await vault.store.put_watch(key, None)
        await vault.store.record(
            VaultEvent(vault.clock.now(), Operation.WITNESS, _SYSTEM, Result.DONE, f"{reason}{held}")
        )
    return {key: replace(known.get(key, Watch(one.name)), name=one.name) for key, one in wanted.items()}


async def _newest(vault: Vault) -> tuple[Checkpoint, Note]:
    """The largest checkpoint that was signed, or the empty log's: with it one can ask and promise nothing new."""
    note = (await vault.store.head()).checkpoint or signed(vault, 0, EMPTY)
    return open_checkpoint(note.encode(), log_key(vault))


async def _ask_all(vault: Vault, whom: Sequence[Witness], known: dict[str, Watch]) -> list[Watch]:
    return list(await asyncio.gather(*(_attended(vault, one, known[str(one.key)]) for one in whom)))


async def _attended(vault: Vault, witness: Witness, before: Watch) -> Watch:
    """Ask one, and remember what came of it."""
    try:
        async with asyncio.timeout(PATIENCE):
            after = await _asked(vault, witness, before)
    except TimeoutError:
        after = replace(before, fault=f"no answer within {PATIENCE:g} s")
    except (WitnessAway, TlogError) as error:
        after = replace(before, fault=str(error))
    _rest(vault, after)
    await vault.store.put_watch(str(witness.key), after)
    if after.refusal and after.refusal != before.refusal:
        await vault.store.record(
            VaultEvent(vault.clock.now(), Operation.WITNESS, _SYSTEM, Result.REFUSED, after.refusal)
        )
    return after


def _rest(vault: Vault, watch: Watch) -> None:
    """A witness that fails is left alone for a while, each time for longer."""
    rests = vault.standing.rests
    if not (watch.fault or watch.refusal):
        rests.pop(watch.name, None)
        return
    pause = min(2 * rests[watch.name][1], _LONGEST_REST) if watch.name in rests else _FIRST_REST
    rests[watch.name] = (vault.clock.monotonic() + pause, pause)


async def _asked(vault: Vault, witness: Witness, before: Watch) -> Watch:
    """What the witness says to the newest checkpoint. Raises WitnessAway, TlogError."""
    old = before.size
    for _ in range(_TRIES):
        checkpoint, note = await _newest(vault)
        old = min(old, checkpoint.size)
        proof = tuple(await consistency(vault, old, checkpoint.size))
        ours = tuple(one for one in note.signatures if one.by(log_key(vault)))
        request = AddCheckpoint(old, proof, str(Note(note.text, ours)).encode())
        answer = await vault.witnesses.ask(f"{witness.url}/add-checkpoint", witness.ca, write_request(request))
        told = conclude(request, (answer.status, answer.content_type, answer.body), witness.key)
        heard = replace(before, heard=vault.clock.now(), fault="")
        if isinstance(told, Cosigned):
            await _keep(vault, checkpoint, note, told)
            return replace(heard, size=checkpoint.size, cosigned=float(told.at), refusal="")
        if isinstance(told, Contradicts):
            return replace(heard, refusal=_refusal(witness, told.reason))
        signed_here = (await _newest(vault))[0].size
        if told.size > signed_here:  # what is sent to a witness was durable here before
            seen = f"it has seen {told.size} entries of this log, and {signed_here} are the most that were signed here"
            return replace(heard, refusal=_refusal(witness, seen))
        old = told.size
    raise WitnessAway("it names another size at each request")


def _refusal(witness: Witness, reason: str) -> str:
    return (
        f"the witness {witness.name} contradicts the log: {reason}. The vault came from an old backup, or its log was "
        "changed; nothing opens and nothing is signed. Bring back the newest vault.db (docs/protected.md, `Witnesses`)"
    )


async def _keep(vault: Vault, checkpoint: Checkpoint, note: Note, told: Cosigned) -> None:
    """Put the cosignatures beside ours; the empty log's are of use to nobody."""
    if checkpoint.size:
        await vault.store.put_checkpoint(checkpoint.size, str(Note(note.text, (*note.signatures, *told.signatures))))
