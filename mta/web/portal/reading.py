"""What a proven reader sees of an item: /v/ITEM and what lies below it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from mta.errors import KeyAway, NotOpened, StorageError, TdfError, TlogError, UsageError
from mta.model.protected import ItemState
from mta.model.rights import Right
from mta.observe import events
from mta.observe.vault_events import Operation
from mta.policy.reader import Refusal
from mta.rfc.mime.file_name import line_name
from mta.rfc.mime.shown import ShownFile, show
from mta.vault.answer import answers_of
from mta.vault.attachments import attachments, file_item
from mta.vault.read import Read, Standing, Wish
from mta.vault.sessions import Proven
from mta.web.portal.answers import (
    BODY_POLICY,
    SESSION,
    actor_of,
    cookie,
    desk_of,
    file,
    go,
    is_ours,
    later,
    page,
    set_cookie,
    told,
    words_of,
)
from mta.web.portal.clean import clean
from mta.web.portal.opened import tell_owner
from mta.web.portal.view import view_of
from mta.web.site import site_of

_ENDED = {
    Refusal.EXPIRED: ("expired", 410),
    Refusal.SHREDDED: ("revoked", 410),
    Refusal.REVOKED: ("revoked", 410),
    Refusal.NO_GRANT: ("revoked", 410),
    Refusal.KEY_DESTROYED: ("expired", 410),
    Refusal.HELD: ("held", 503),
    Refusal.KEY_HELD: ("held", 503),
    Refusal.NO_RIGHT: ("right", 403),
}
_FOR = {Right.EXPORT: Operation.DOWNLOAD, Right.REPLY: Operation.REPLY}  # what is asked for with a right
Handler = Callable[[Request, Proven], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Proved:
    """A page for readers who have proved who they are, and if `opened` have asked to see the message."""

    handler: Handler
    opened: bool = True
    second: bool = True  # and have proved a second time who they are, where that is wanted

    async def __call__(self, request: Request) -> Response:
        """Answer, or say why not: to others nothing, the same for every item."""
        if request.method == "POST" and not is_ours(request):
            return told(request, "foreign", 403)
        item = str(request.path_params["item"])
        who = desk_of(request).proofs.proven(item, cookie(request, SESSION))
        if who is None:
            return told(request, "prove", 403)
        if self.second and who.waits:
            return go(f"/v/{item}/second")
        if self.opened and not who.opened:
            return go(f"/v/{item}")
        try:
            return await self.handler(request, who)
        except NotOpened as refused:
            return await _refused(request, who, refused)
        except (KeyAway, StorageError, TlogError) as error:
            return later(request, error)
        except (TdfError, UsageError) as error:
            site_of(request).log.error(events.ALARM, alarm="portal.item", text=str(error))
            return told(request, "broken", 500)


async def _refused(request: Request, who: Proven, refused: NotOpened) -> Response:
    desk_of(request).count("open", f"refused-{refused.word}"[:40])
    word, status = next((found for known, found in _ENDED.items() if known == refused.word), ("revoked", 410))
    if status != 410:
        return told(request, word, status, back=who.item if word == "right" else "")
    ended = (await desk_of(request).readings.standing(who)).item
    return told(request, word, status, ended=ended)


async def standing_of(request: Request, who: Proven, wants: Right = Right.VIEW) -> Standing:
    """How it stands with the item. Raises NotOpened, once it is written down, if the reader may not do this now."""
    readings = desk_of(request).readings
    standing = await readings.standing(who, wants)
    if standing.permission.refusal is not None:
        operation = _FOR.get(wants, Operation.READ)
        await readings.note_refusal(Wish(who, "", operation, wants, actor_of(request, who)), standing)
        raise NotOpened(standing.permission.refusal, standing.permission.reason)
    return standing


async def _read(
    request: Request, who: Proven, operation: Operation = Operation.READ, wants: Right = Right.VIEW
) -> Read:
    wish = Wish(who, cookie(request, SESSION), operation, wants, actor_of(request, who))
    return await read_for(request, wish)


async def read_for(request: Request, wish: Wish) -> Read:
    """The message. Raises what `Readings.read` does."""
    return await desk_of(request).readings.read(wish)


async def item(request: Request, who: Proven) -> Response:
    """GET /v/ITEM: the cover before it is opened, then the message."""
    standing = await standing_of(request, who)
    if not who.opened:
        offered = (await desk_of(request).channels.step(who)).enrol
        return page(
            request,
            "cover.html",
            item=standing.item,
            reader=who.reader,
            until=standing.until,
            second=bool(offered),
        )
    return await _message(request, who, standing, framed=True)


async def text(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/text: the message as plain text."""
    return await _message(request, who, await standing_of(request, who), framed=False)


async def _message(request: Request, who: Proven, standing: Standing, *, framed: bool) -> Response:
    read = await _read(request, who)
    label = desk_of(request).vault.protection.labels.get(standing.item.label)
    view = await asyncio.to_thread(view_of, who, standing, read, label, words_of(request))
    if view.files:
        view = view.with_items({one.id for one in await attachments(desk_of(request).vault, standing.item)})
    answers = await answers_of(desk_of(request).vault, standing.item, who.reader)
    return page(request, "message.html", view=view.as_text() if not framed else view, answers=answers)


async def open_item(request: Request, who: Proven) -> Response:
    """POST /v/ITEM/open: this is what counts as opening it."""
    before = await desk_of(request).readings.own_log(who)
    await _read(request, who, Operation.OPEN)
    desk_of(request).count("open", "permitted")
    desk_of(request).proofs.opened(who.item, cookie(request, SESSION))
    await tell_owner(request, who, before)
    return go(f"/v/{who.item}")


async def body(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/body: the HTML of the message, for its frame."""
    read = await _read(request, who)
    safe = await asyncio.to_thread(_safe, read.data)
    html = framed(words_of(request)("body"), safe, may_print=Right.PRINT in read.rights)
    return HTMLResponse(html, headers={"Content-Security-Policy": BODY_POLICY})


def framed(title: str, safe: str, *, may_print: bool) -> str:
    """Clean HTML as the document of a frame."""
    unprinted = "" if may_print else "@media print{body{display:none}}"
    return (
        f'<!doctype html><html><head><meta charset="utf-8"><title>{title}</title>'
        "<style>body{font:16px/1.5 sans-serif;margin:12px;overflow-wrap:anywhere}img{max-width:100%}"
        f"table{{max-width:100%;border-collapse:collapse}}{unprinted}</style></head><body>{safe}</body></html>"
    )


def _safe(message: bytes) -> str:
    shown = show(message)
    return clean(shown.html, shown.files).html


# --- files


async def file_of(
    request: Request, who: Proven, operation: Operation = Operation.READ, wants: Right = Right.VIEW
) -> tuple[Read, ShownFile]:
    """The file that a path names. Raises what `Readings.read_file` does."""
    wish = Wish(who, cookie(request, SESSION), operation, wants, actor_of(request, who))
    return await desk_of(request).readings.read_file(wish, int(request.path_params["number"]))


async def attachment(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/a/N: the file as it came (EXPORT)."""
    await standing_of(request, who, Right.EXPORT)
    _, found = await file_of(request, who, Operation.DOWNLOAD, Right.EXPORT)
    return file(found.data, found.name)


async def sealed_attachment(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/a/N/sealed: the sealed container of a file."""
    desk = desk_of(request)
    found = await file_item(desk.vault, who.item, int(request.path_params["number"]))
    if found is None:
        raise NotOpened(Refusal.NO_RIGHT, "there is no such item")
    return await _container(request, replace(who, item=found.id), ".tdf")


async def message_file(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/message.eml: the message as its author wrote it (EXPORT)."""
    standing = await standing_of(request, who, Right.EXPORT)
    if any(one.state == ItemState.SHREDDED for one in await attachments(desk_of(request).vault, standing.item)):
        raise NotOpened(Refusal.SHREDDED, "a file of this message was shredded, and the message holds it")
    read = await _read(request, who, Operation.DOWNLOAD, Right.EXPORT)
    return file(read.data, f"{line_name(standing.item.name) or 'message'}.eml")


async def container(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/message.tdf: the sealed container; it opens where the reader may open it."""
    return await _container(request, who, ".eml.tdf")


async def _container(request: Request, who: Proven, ending: str) -> Response:
    standing = await standing_of(request, who)
    desk = desk_of(request)
    sealed = await desk.readings.container(standing.item)
    actor = actor_of(request, who)
    await desk.readings.tell(Wish(who, "", Operation.DOWNLOAD, Right.VIEW, actor), form="tdf")
    return file(sealed, f"{line_name(standing.item.name) or 'file'}{ending}")


# --- the reader's own


async def own_log(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/log: what was recorded of this reader."""
    return page(request, "log.html", id=who.item, events=await desk_of(request).readings.own_log(who))


async def receipt(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/receipt/SEQ: a proof that the entry stands in the log."""
    number = int(request.path_params["number"])
    proof = await desk_of(request).readings.own_receipt(who, number)
    return file(proof, f"{number}.tlog-proof")


async def log_out(request: Request) -> Response:
    """POST /v/ITEM/logout: the session is over on this side, too."""
    if not is_ours(request):
        return told(request, "foreign", 403)
    desk, session = desk_of(request), cookie(request, SESSION)
    desk.proofs.log_out(session)
    desk.readings.forget(session)
    answer = told(request, "out", 200)
    set_cookie(request, answer, SESSION, "")
    return answer
