"""The super user's leaves: asked for by one person, approved by another, told to the auditor, written in the log."""

from __future__ import annotations

from collections.abc import Callable

from mta.errors import UsageError
from mta.model.protected import Actor, SuperUser, VaultEvent
from mta.observe.vault_events import Operation, Result
from mta.policy import super_user as policy
from mta.ports.vault import Change
from mta.vault.vault import Vault


async def ask_for(vault: Vault, actor: Actor, reason: str, lasts: float) -> SuperUser:
    """Ask for a leave of `lasts` seconds; nothing opens by it yet. Raises UsageError."""
    _enabled(vault)
    made = SuperUser(vault.new_id(), actor.subject, reason, vault.clock.now(), lasts)
    fresh = _decided(lambda: policy.asked(made))
    await _keep(vault, fresh, actor, "asked for")
    return fresh


async def approve(vault: Vault, id: str, actor: Actor) -> SuperUser:
    """Let it begin, as a second person. Raises UsageError, and MtaError if the auditor cannot be told: it does not."""
    _enabled(vault)
    leave, now = await _found(vault, id), vault.clock.now()
    fresh = _decided(lambda: policy.approved(leave, actor.subject, now))
    await _tell(vault, fresh, f"{fresh.asked_by} may open whatever this vault protects, as {actor.subject} approved.")
    await _keep(vault, fresh, actor, "approved")
    return fresh


async def end(vault: Vault, id: str, actor: Actor) -> SuperUser:
    """Take a leave back, whoever asks. Raises UsageError."""
    leave, now = await _found(vault, id), vault.clock.now()
    fresh = _decided(lambda: policy.ended(leave, actor.subject, now))
    await _keep(vault, fresh, actor, "ended")
    return fresh


async def leave_of(vault: Vault, who: str) -> SuperUser | None:
    """The leave by which this person may open now; None as well where the super user is off."""
    if not vault.protection.super_user:
        return None
    return policy.leave_of(await vault.store.super_users(), who, vault.clock.now())


async def tell_of_opening(vault: Vault, leave: SuperUser, item: str, entry: int) -> None:
    """The auditor's mail for one opening. Raises MtaError if it cannot be queued: then nothing opens."""
    await _tell(vault, leave, f"{leave.asked_by} opens the item {item} (entry {entry} of the log).")


async def _tell(vault: Vault, leave: SuperUser, what: str) -> None:
    await vault.auditor.tell(
        f"Super user: {what}"[:150],
        (
            what,
            f"Asked for by {leave.asked_by}, approved by {leave.approved_by}, for: {leave.reason}",
            f"`mta log list` shows the entries called super-user; `mta protected super-user end {leave.id}` ends it.",
        ),
    )


def _enabled(vault: Vault) -> None:
    if not vault.protection.super_user:
        raise UsageError("the super user is off: protection.super_user would have to say true")


async def _found(vault: Vault, id: str) -> SuperUser:
    found = [one for one in await vault.store.super_users() if id and one.id.startswith(id)]
    if len(found) != 1:
        raise UsageError(f"there is no leave {id}, or several begin so; `mta protected super-user list` shows all")
    return found[0]


def _decided(decide: Callable[[], SuperUser]) -> SuperUser:
    try:
        return decide()
    except policy.Refused as refused:
        raise UsageError(str(refused)) from None


async def _keep(vault: Vault, leave: SuperUser, actor: Actor, what: str) -> None:
    detail = {"leave": leave.id, "for": leave.reason, "asked_by": leave.asked_by}
    event = VaultEvent(vault.clock.now(), Operation.SUPER_USER, actor, Result.DONE, what, detail=detail)
    await vault.store.change(Change((event,), super_users=(leave,)))
