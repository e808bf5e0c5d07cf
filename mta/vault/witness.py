"""We as witness of partners' logs (C2SP tlog-witness): what grew out of what we saw last is cosigned, else nothing."""

from __future__ import annotations

from dataclasses import replace

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mta.rfc.tlog.checkpoint import cosign
from mta.rfc.tlog.note import KeyType, VerifierKey
from mta.rfc.tlog.witness import Known, Verdict, judge
from mta.vault.tree import origin
from mta.vault.vault import Vault

_TRIES = 3


def witness_key(vault: Vault) -> VerifierKey:
    """The key by which our cosignatures are believed; partners write it into their configuration."""
    public = vault.signing.witness.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    return VerifierKey(f"{origin(vault)}/witness", public, KeyType.COSIGNATURE)


async def answer(vault: Vault, request: bytes) -> Verdict:
    """What a log hears of its checkpoint; `body` is our cosignature, what we saw is durable. Raises StorageError."""
    logs = {key.name: key for key in vault.protection.witnessed_logs}
    for _ in range(_TRIES):
        known = await vault.store.witnessed()
        verdict = judge(request, logs, {name: Known(*one) for name, one in known.items()})
        if verdict.status != 200 or verdict.checkpoint is None:
            return verdict
        seen = verdict.checkpoint
        # Two processes, or two requests of one log, may come here at once: only one of them goes on.
        if await vault.store.put_witnessed(seen.origin, known.get(seen.origin), (seen.size, seen.root)):
            key, now = witness_key(vault), int(vault.clock.now())
            return replace(verdict, body=str(cosign(verdict.text, key, vault.signing.witness.sign, now)))
    return Verdict(503, "the log sends many checkpoints at once")
