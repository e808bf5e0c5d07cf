"""A reader passes a mail on: /v/ITEM/forward. The new reader gets a notice; the mail stays where it is."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from mta.contract.readers import reader_name
from mta.errors import MtaError, StorageError, UsageError
from mta.model.protected import Item
from mta.model.rights import Right
from mta.observe import events
from mta.rfc.smtp.address import AddressError
from mta.vault.answer import go_on, pass_on
from mta.vault.owners import Sender, notice_again
from mta.vault.sessions import Proven
from mta.web.portal.answers import SESSION, actor_of, cookie, desk_of, form, go, page, set_cookie, told, words_of
from mta.web.portal.reading import standing_of
from mta.web.site import site_of


async def forward_form(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/forward: a field for an address."""
    await standing_of(request, who, Right.FORWARD)
    return _form(request, who)


def _form(request: Request, who: Proven, wrong: str = "", address: str = "") -> Response:
    told_wrong = words_of(request)(wrong) if wrong else ""
    return page(request, "forward.html", 422 if wrong else 200, id=who.item, wrong=told_wrong, address=address)


async def forward(request: Request, who: Proven) -> Response:
    """POST /v/ITEM/forward: `address` may read it, too."""
    standing = await standing_of(request, who, Right.FORWARD)
    desk, typed = desk_of(request), (await form(request)).get("address", "").strip()[:320]
    try:
        reader = reader_name(typed)
    except AddressError:
        reader = ""
    if "@" not in reader[1:] or reader.startswith("@"):
        return _form(request, who, "forward.address", typed)
    if not desk.answers.take(who.grant, desk.vault.clock.now()):
        return told(request, "busy", 429)
    try:
        await pass_on(desk.vault, standing, reader, actor_of(request, who))
    except UsageError as error:
        site_of(request).log.info(events.WEB_REFUSED, what="forward", reason=str(error))
        return _form(request, who, "forward.refused", typed)
    if not await invite(request, who, standing.item, reader):
        return told(request, "later", 503, back=who.item)
    return go(f"/v/{who.item}/forwarded")


async def forwarded(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/forwarded: that the notice is on its way."""
    return told(request, "forward.done", 200, back=who.item)


async def invite(request: Request, who: Proven, item: Item, reader: str) -> bool:
    """Send a notice of an item in the name of the reader who sends or passes it on; whether it is on its way."""
    desk = desk_of(request)
    sender = Sender(desk.house.url, desk.house.hostname, desk.own_address(item.owner), author=who.reader)
    try:
        notice = await notice_again(desk.vault, item, reader, actor_of(request, who), sender)
        await desk.courier.send_code(reader, notice)
    except StorageError:
        raise
    except MtaError as error:
        desk.alarm("answer", error)
        return False
    return True


async def answer(request: Request, who: Proven) -> Response:
    """POST /v/ITEM/answers/ANSWER: go on to an answer, as who one has proved to be."""
    desk = desk_of(request)
    proven = await go_on(desk.vault, who.item, str(request.path_params["answer"]), who)
    response = go(f"/v/{proven.item}")
    before = cookie(request, SESSION)
    desk.readings.forget(before)
    set_cookie(request, response, SESSION, desk.proofs.log_in(proven, before))
    return response
