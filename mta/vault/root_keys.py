"""The life of root keys: each change is decided by policy/root_key.py and stands in the log."""

from __future__ import annotations

from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mta.errors import KeyAway, MtaError, UsageError
from mta.model.protected import Actor, KeyState, RootKey, VaultEvent
from mta.observe.vault_events import Operation, Result
from mta.policy.root_key import EXPONENT, MAX_BITS, MIN_BITS, Refused, move
from mta.ports.vault import Change
from mta.rfc.tdf.share import OAEP
from mta.vault.vault import Vault

_PROBE = 32


async def found_key(vault: Vault, id: str) -> RootKey:
    """The root key of this id. Raises UsageError."""
    key = await vault.root_key(id)
    if key is None:
        raise UsageError(f"the vault knows no root key {id}; `mta keys root create {id}` makes it")
    return key


async def add_key(vault: Vault, place: tuple[str, str], spki: bytes, operation: Operation, actor: Actor) -> RootKey:
    """Enter a key that is in its place (id, and file or URI): the first one is active. Raises UsageError, KeyAway."""
    id, where = place
    known = await vault.store.root_keys()
    if any(key.id == id for key in known):
        raise UsageError(f"the vault has a root key {id} already; an id stays with one key for ever")
    state = KeyState.ARCHIVED if any(key.state == KeyState.ACTIVE for key in known) else KeyState.ACTIVE
    now = vault.clock.now()
    key = RootKey(id, where, spki, root_key_bits(spki), state, now, now)
    call = vault.new_id()
    await prove(vault, key, call)
    event = replace(_event(vault, operation, actor, key), call=call)
    await vault.store.change(Change((event,), keys=(key,)))
    return key


def root_key_bits(spki: bytes) -> int:
    """How long this key is. Raises UsageError if it cannot be a root key."""
    public = load_der_public_key(spki)
    if not isinstance(public, RSAPublicKey):
        raise UsageError(f"a root key is RSA of {MIN_BITS} to {MAX_BITS} bits, and this one is of another kind")
    if not MIN_BITS <= public.key_size <= MAX_BITS:
        raise UsageError(f"a root key is RSA of {MIN_BITS} to {MAX_BITS} bits, and this one has {public.key_size}")
    if public.public_numbers().e != EXPONENT:
        raise UsageError(f"a root key has the public exponent {EXPONENT}, and this one {public.public_numbers().e}")
    return public.key_size


async def prove(vault: Vault, key: RootKey, call: str) -> None:
    """Seal something to the public half and open it where the key is, by this call. Raises KeyAway, MtaError."""
    public, probe = load_der_public_key(key.spki), vault.random(_PROBE)
    assert isinstance(public, RSAPublicKey)
    opened = await vault.keys.unwrap(key, public.encrypt(probe, OAEP), call)
    if opened != probe:
        raise MtaError(f"the root key {key.id} in {key.place} does not open what was sealed to its public half")


async def selftest(vault: Vault, key: RootKey, actor: Actor) -> str:
    """Prove a key and write down what came of it; empty, or what is the matter."""
    call = vault.new_id()
    try:
        await prove(vault, key, call)
        fault = ""
    except (KeyAway, MtaError) as error:
        fault = str(error)
    result = Result.FAILED if fault else Result.DONE
    told = _event(vault, Operation.KEY_SELFTEST, actor, key)
    await vault.store.record(replace(told, result=result, reason=fault, call=call))
    return fault


async def prove_keys(vault: Vault, actor: Actor) -> None:
    """Prove every key that there is. Raises MtaError with what is the matter."""
    keys = [key for key in await vault.store.root_keys() if key.state != KeyState.DESTROYED]
    faults = [f"{key.id}: {fault}" for key in keys if (fault := await selftest(vault, key, actor))]
    if faults:
        raise MtaError("; ".join(faults))


async def change_key(vault: Vault, id: str, wish: str, actor: Actor) -> RootKey:
    """activate, archive, hold, release or destroy. Raises UsageError with what to do first."""
    key = await found_key(vault, id)
    try:
        fresh = move(key, wish, vault.clock.now(), actor.subject)
    except Refused as refused:
        raise UsageError(str(refused)) from None
    changed = [fresh, *(await _displaced(vault, fresh) if wish == "activate" else ())]
    events = [_event(vault, Operation(f"key.{wish}"), actor, fresh)]
    events += [_event(vault, Operation.KEY_ARCHIVE, actor, other) for other in changed[1:]]
    await vault.store.change(Change(tuple(events), keys=tuple(changed)))
    return fresh


async def _displaced(vault: Vault, fresh: RootKey) -> list[RootKey]:
    """The key that was active before: there is one at a time."""
    before = [key for key in await vault.store.root_keys() if key.state == KeyState.ACTIVE and key.id != fresh.id]
    return [replace(key, state=KeyState.ARCHIVED, changed=vault.clock.now()) for key in before]


def _event(vault: Vault, operation: Operation, actor: Actor, key: RootKey) -> VaultEvent:
    asked = "asked for; a second person confirms" if operation == Operation.KEY_DESTROY and not _ended(key) else ""
    return VaultEvent(vault.clock.now(), operation, actor, Result.DONE, asked, key=key.id)


def _ended(key: RootKey) -> bool:
    return key.state == KeyState.DESTROYED
