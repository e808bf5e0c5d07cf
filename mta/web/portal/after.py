"""What readers can do about an item besides reading it: ask its sender for it again, and let go of it."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from mta.errors import MtaError, StorageError
from mta.model.protected import Item
from mta.observe import events
from mta.vault.grants import Editor, revoke
from mta.vault.owners import ask_owner
from mta.vault.sessions import Proven
from mta.web.portal.answers import actor_of, desk_of, go, page, told, words_of
from mta.web.portal.desk import Desk
from mta.web.portal.reading import standing_of
from mta.web.portal.words import Words
from mta.web.site import site_of


async def ask(request: Request, who: Proven) -> Response:
    """POST /v/ITEM/ask: a mail to the owner, who decides at their own pages. Nothing opens by it."""
    desk = desk_of(request)
    standing = await desk.readings.standing(who)
    if standing.permission.allowed:
        return go(f"/v/{who.item}")
    if not desk.asks.take(who.grant, desk.vault.clock.now()):
        return told(request, "busy", 429)
    item = await ask_owner(desk.vault, who, actor_of(request, who))
    try:
        await desk.courier.send_code(item.owner, _asking(desk, item, who, words_of(request)))
    except StorageError:
        raise
    except MtaError as error:
        site_of(request).log.error(events.ALARM, alarm="portal.ask", text=str(error))
        return told(request, "later", 503)
    desk.count("ask", "sent")
    return go(f"/v/{who.item}/asked")


async def asked(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/asked: that the owner was asked."""
    return told(request, "asked", 200)


def _asking(desk: Desk, item: Item, who: Proven, t: Words) -> bytes:
    """The link leads to the owner's own page of the item, which asks them who they are and shows a button."""
    name = item.name or t("no.subject")
    paragraphs = (
        t("ask.who", reader=who.reader, name=name),
        t("ask.how"),
        f"{desk.house.url}/my/{item.id}",
        t("ask.nothing"),
    )
    return desk.mail(item.owner, t("ask.subject", reader=who.reader), paragraphs, desk.own_address(item.owner))


# --- letting go


async def delete_form(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/delete: what it means, and a button."""
    await standing_of(request, who)
    return page(request, "delete.html", id=who.item)


async def delete(request: Request, who: Proven) -> Response:
    """POST /v/ITEM/delete: the reader's own grant ends. Raises NotOpened where it is not theirs alone."""
    standing, desk = await standing_of(request, who), desk_of(request)
    grant = standing.permission.grant
    if grant is None or grant.reader != who.reader or standing.item.owner == who.reader:
        return told(request, "right", 403, back=who.item)
    await revoke(desk.vault, standing.item, Editor(actor_of(request, who)), who.reader)
    return go(f"/v/{who.item}/deleted")


async def deleted(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/deleted: that it is done, with the receipt that proves it."""
    mine = await desk_of(request).readings.own_log(who)
    number = next((event["seq"] for event in reversed(mine) if event["op"] == "revoke"), None)
    if number is None:
        return go(f"/v/{who.item}")
    return page(request, "deleted.html", id=who.item, number=number)
