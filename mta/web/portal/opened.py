"""Word to the sender that a reader has opened an item for the first time."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request

from mta.vault.owners import first_time
from mta.vault.sessions import Proven
from mta.web.portal.answers import desk_of
from mta.web.portal.words import words


async def tell_owner(request: Request, who: Proven, before: list[dict[str, Any]]) -> None:
    """A mail to the owner, where the label says so; `before` is what the reader did with the item until now."""
    desk = desk_of(request)
    item = await desk.vault.store.item(who.item)
    label = desk.vault.protection.labels.get(item.label) if item else None
    if item is None or label is None or not label.tell_owner or who.reader == item.owner or not first_time(before):
        return
    t = words(label.language)
    name, when = item.name or t("no.subject"), t.moment(desk.vault.clock.now())
    paragraphs = (t("opened.what", reader=who.reader, name=name, when=when), f"{desk.house.url}/my/{item.id}")
    subject = t("opened.subject", reader=who.reader)
    message = desk.mail(item.owner, subject, paragraphs, desk.own_address(item.owner))
    desk.later(desk.courier.send_code(item.owner, message), "opened")
