"""What readers send from their pages: an answer that stays an item, and a mail passed on to one more reader.

Nothing leaves the protection: who else gets the answer reads it here, under the label of what it answers; who gets a
mail passed on has no more rights, and no longer, than who passes it on. The owner of the mail owns both.
"""

from __future__ import annotations

import io
from dataclasses import replace

from mta.errors import NotOpened, UsageError
from mta.model.protected import Actor, Grant, Item, ItemState, VaultEvent
from mta.model.rights import Right
from mta.observe.vault_events import Operation, Result
from mta.policy.protect import refused_reader
from mta.ports.mail_vault import Post
from mta.ports.vault import Change, ItemFilter
from mta.vault.mail import REPLY, protect_message
from mta.vault.read import Standing
from mta.vault.sessions import Proven
from mta.vault.vault import Vault

MOST_ANSWERS = 200  # of one mail that are shown


async def keep_answer(vault: Vault, item: Item, readers: tuple[str, ...], letter: tuple[str, str, bytes]) -> Item:
    """Seal an answer to `item`, durable when this returns. `letter` is its id, subject and message.

    Raises MtaError if its label is gone, StorageError.
    """
    id, subject, message = letter
    post = Post(
        message_id=f"answer {id}",
        label=item.label,
        owner=item.owner,
        readers=readers,
        subject=subject,
        size=len(message),
        answers=item.id,
    )
    return (await protect_message(vault, post, lambda: io.BytesIO(message))).item


async def answers_of(vault: Vault, item: Item, reader: str) -> tuple[Item, ...]:
    """The answers to a mail that this reader may read."""
    found = await vault.store.find(ItemFilter(parent=item.id, reader=reader, limit=MOST_ANSWERS))
    live = (one for one, _ in found if one.kind == REPLY and one.state == ItemState.LIVE)
    return tuple(sorted(live, key=lambda one: one.created))


async def go_on(vault: Vault, item: str, id: str, who: Proven) -> Proven:
    """Whoever has proved who they are for a mail has done so for an answer to it. Raises NotOpened."""
    answer = await vault.store.item(id)
    if answer is None or (answer.kind, answer.parent) != (REPLY, item):
        raise NotOpened("unknown-item", "there is no such answer")
    grants = await vault.store.grants(answer.id)
    grant = next((one for one in grants if one.reader == who.reader and not one.revoked_at), None)
    if grant is None:
        raise NotOpened("no-grant", f"{who.reader} has no grant for {answer.id}")
    return replace(who, item=answer.id, grant=grant.id, opened=False)


async def pass_on(vault: Vault, standing: Standing, reader: str, actor: Actor) -> None:
    """Let one more reader in, with the rights and the end of who passes it on. Raises NotOpened, UsageError."""
    item, mine = standing.item, standing.permission.grant
    if mine is None or Right.FORWARD not in standing.permission.rights:
        raise NotOpened("no-right", "the mail may not be passed on")
    label = vault.protection.labels.get(item.label)
    fault = refused_reader(label, reader, vault.ours) if label else None
    if fault is not None:
        raise UsageError(fault.reason)
    before = [one for one in standing.grants if one.reader == reader]
    if any(one.revoked_at for one in before):
        raise UsageError(f"the right of {reader} was taken back")
    if before:
        return  # they may read it already; a further notice does no harm
    now = vault.clock.now()
    fresh = Grant(
        vault.new_id(),
        item.id,
        reader,
        standing.permission.rights - {Right.OWNER, Right.EDITRIGHTSDATA},
        actor.subject,
        now,
        not_after=mine.not_after,
    )
    detail = {"reader": reader, "rights": " ".join(sorted(fresh.rights))}
    event = VaultEvent(
        now, Operation.GRANT, actor, Result.DONE, "forwarded", item.id, fresh.id, item.key, detail=detail
    )
    await vault.store.change(Change((event,), grants=(fresh,)))
