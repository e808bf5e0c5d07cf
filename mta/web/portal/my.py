"""The sender's own pages: /my. What they protected, who opened it and when, and what they can still do about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mta.contract.readers import reader_name
from mta.errors import KeyAway, MtaError, NotOpened, StorageError, TlogError, UsageError
from mta.model.protected import Item, ItemState
from mta.model.rights import Right, complete
from mta.observe import events
from mta.policy.rights import enforcement
from mta.rfc.smtp.address import AddressError
from mta.vault import grants as use
from mta.vault.grants import Editor
from mta.vault.log import receipt as receipt_of
from mta.vault.owners import MOST_SHOWN, Overview, Sender, let_read, notice_again, overview, own_item, owned
from mta.vault.sessions import OWN, Proven
from mta.web.portal.answers import (
    SESSION,
    actor_of,
    cookie,
    desk_of,
    file,
    form,
    go,
    is_ours,
    later,
    page,
    set_cookie,
    told,
    words_of,
)
from mta.web.portal.view import label_name
from mta.web.site import site_of

Handler = Callable[[Request, Proven], Awaitable[Response]]
_NEVER = float("inf")
_SAID = frozenset({"revoked", "shredded", "extended", "added", "again"})


@dataclass(frozen=True, slots=True)
class Owned:
    """A page for senders who have proved who they are."""

    handler: Handler

    async def __call__(self, request: Request) -> Response:
        """Answer, or send them to prove it; others' items are answered as none."""
        if request.method == "POST" and not is_ours(request):
            return told(request, "foreign", 403)
        who = desk_of(request).proofs.proven(OWN, cookie(request, SESSION))
        if who is None:
            item = request.path_params.get("item", "")
            return go(f"/my/sign-in?item={item}" if item else "/my/sign-in")
        try:
            return await self.handler(request, who)
        except NotOpened:
            return told(request, "my.none", 404)
        except (KeyAway, StorageError, TlogError) as error:
            return later(request, error)


async def items(request: Request, who: Proven) -> Response:
    """GET /my: what this sender has protected, the newest first."""
    vault = desk_of(request).vault
    try:
        before = float(request.query_params.get("before", "inf"))
    except ValueError:
        before = _NEVER
    found = await owned(vault, who.reader, before)
    shown = found[:MOST_SHOWN]
    more = repr(shown[-1][0].created) if len(found) > MOST_SHOWN else ""
    return page(request, "my.html", who=who.reader, items=shown, more=more)


async def item(request: Request, who: Proven) -> Response:
    """GET /my/ITEM: who may read it and has, what binds them, and what can be done."""
    said = request.query_params.get("said", "")
    return await _shown(request, who, said=said if said in _SAID else "")


async def _shown(request: Request, who: Proven, *, said: str = "", wrong: str = "") -> Response:
    found = await overview(desk_of(request).vault, who.reader, str(request.path_params["item"]))
    live = found.item.state == ItemState.LIVE and not _is_over(request, found.item)
    values: dict[str, Any] = {
        "over": found,
        "who": who.reader,
        "said": said,
        "wrong": wrong,
        "rights": _rights(found),
        "label": label_name(found.label, words_of(request)),
        "live": live,
        "whole": live and not found.item.parent,  # who may read a file, and until when, is as with its mail
    }
    return page(request, "my_item.html", 422 if wrong else 200, **values)


def _rights(found: Overview) -> list[tuple[str, bool, str]]:
    """Each right: whether the readers have it, and how far it binds them that they have it not."""
    granted = found.label.rights if found.label else {right for row in found.readers for right in row.grant.rights}
    return [(right.value, right in complete(granted), enforcement(right).value) for right in Right]


def _is_over(request: Request, item: Item) -> bool:
    return bool(item.not_after) and desk_of(request).vault.clock.now() >= item.not_after


# --- changes


async def revoke(request: Request, who: Proven) -> Response:
    """POST /my/ITEM/revoke: of one `reader`, or with `sure` of all, for ever."""
    fields = await form(request)
    reader = fields.get("reader", "")
    if not reader and fields.get("sure") != "yes":
        return await _shown(request, who, wrong="my.sure")

    async def work(item: Item, editor: Editor) -> None:
        await use.revoke(desk_of(request).vault, item, editor, reader)

    return await _changed(request, who, work, "revoked" if reader else "shredded")


async def extend(request: Request, who: Proven) -> Response:
    """POST /my/ITEM/extend: to the end of the day `until`, for all or for one `reader`."""
    fields = await form(request)
    until = _end_of(fields.get("until", ""), desk_of(request).vault.clock.now())
    if until is None:
        return await _shown(request, who, wrong="my.date")

    async def work(item: Item, editor: Editor) -> None:
        await use.extend(desk_of(request).vault, item, until, editor, fields.get("reader", ""))

    return await _changed(request, who, work, "extended")


def _end_of(day: str, now: float) -> float | None:
    """The end of a day, in epoch seconds, if it lies before us and within ten years."""
    try:
        end = (datetime.strptime(day[:10], "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)).timestamp()
    except (ValueError, OverflowError):
        return None
    return end if now < end < now + 3653 * 86_400 else None


async def add(request: Request, who: Proven) -> Response:
    """POST /my/ITEM/add: one more `reader`, or one whose right was taken back; they get a notice."""
    try:
        reader = reader_name((await form(request)).get("reader", "").strip()[:320])
    except AddressError:
        reader = ""
    if "@" not in reader[1:]:
        return await _shown(request, who, wrong="my.address")

    async def work(item: Item, editor: Editor) -> None:
        await let_read(desk_of(request).vault, item, reader, editor)
        await _notice(request, item, reader, editor)

    return await _changed(request, who, work, "added")


async def again(request: Request, who: Proven) -> Response:
    """POST /my/ITEM/again: the notice once more, to one `reader`."""
    reader = (await form(request)).get("reader", "")

    async def work(item: Item, editor: Editor) -> None:
        await _notice(request, item, reader, editor)

    return await _changed(request, who, work, "again")


async def _notice(request: Request, item: Item, reader: str, editor: Editor) -> None:
    """Raises MtaError if it cannot be queued."""
    desk = desk_of(request)
    if not desk.answers.take(f"notice {item.id} {reader}", desk.vault.clock.now()):
        raise UsageError("a reader gets at most twenty notices an hour")
    sender = Sender(desk.house.url, desk.house.hostname, desk.house.postmaster)
    notice = await notice_again(desk.vault, item, reader, editor.actor, sender)
    await desk.courier.send_code(reader, notice)


async def _changed(
    request: Request, who: Proven, work: Callable[[Item, Editor], Awaitable[None]], said: str
) -> Response:
    """Do it as the owner; what cannot be is told on the page. Raises NotOpened for an item of others."""
    item = await own_item(desk_of(request).vault, who.reader, str(request.path_params["item"]))
    try:
        await work(item, Editor(actor_of(request, who)))
    except (StorageError, KeyAway):
        raise
    except NotOpened:
        return await _shown(request, who, wrong="my.over")
    except UsageError:
        desk_of(request).count("my", "refused")
        return await _shown(request, who, wrong="my.cannot")
    except MtaError as error:
        site_of(request).log.error(events.ALARM, alarm="portal.notice", text=str(error))
        return told(request, "later", 503)
    desk_of(request).count("my", said)
    return go(f"/my/{item.id}?said={said}")


async def receipt(request: Request, who: Proven) -> Response:
    """GET /my/ITEM/receipt/SEQ: a proof that an entry of this item stands in the log."""
    vault, number = desk_of(request).vault, int(request.path_params["number"])
    found = await overview(vault, who.reader, str(request.path_params["item"]))
    if all(event["seq"] != number for event in found.events):
        raise NotOpened("not-owner", "this entry is of another item")
    return file(await receipt_of(vault, number), f"{number}.tlog-proof")


async def log_out(request: Request) -> Response:
    """POST /my/logout: the session is over on this side, too."""
    if not is_ours(request):
        return told(request, "foreign", 403)
    desk_of(request).proofs.log_out(cookie(request, SESSION))
    answer = told(request, "my.out", 200)
    set_cookie(request, answer, SESSION, "")
    return answer
