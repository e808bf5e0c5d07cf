"""A look at a file without having it: /v/ITEM/p/N, a page at a time. What is shown is made by a process of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from mta.errors import NotOpened
from mta.model.rights import Right
from mta.policy.reader import Refusal
from mta.ports.preview import Look
from mta.rfc.mime.file_kind import TEXT, file_kind
from mta.rfc.mime.shown import ShownFile
from mta.rfc.mime.words import decode_charset
from mta.vault.sessions import Proven
from mta.web.portal.answers import BODY_POLICY, FILE_POLICY, desk_of, page, words_of
from mta.web.portal.clean import clean
from mta.web.portal.reading import file_of, framed, standing_of
from mta.web.portal.view import marks_of


@dataclass(frozen=True, slots=True)
class _Asked:
    """A file, what it is, and how it is marked for this reader."""

    file: ShownFile
    kind: str
    number: int
    watermark: str
    may_print: bool

    async def look(self, request: Request) -> Look | None:
        """The page that was asked for."""
        if not self.kind or self.kind == TEXT:
            return None
        return await desk_of(request).looks.look(self.file, self.kind, self.number, self.watermark)


async def _asked(request: Request, who: Proven) -> _Asked:
    standing = await standing_of(request, who)
    read, found = await file_of(request, who)
    label = desk_of(request).vault.protection.labels.get(standing.item.label)
    watermark = marks_of(who, standing, label, words_of(request))("watermark")
    kind = file_kind(found.media_type, found.name, found.data)
    number = int(request.path_params.get("page", 1))
    return _Asked(found, kind, number, watermark, Right.PRINT in read.rights)


async def preview(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/p/N and /v/ITEM/p/N/PAGE: one page, or one plain sentence."""
    asked = await _asked(request, who)
    look = await asked.look(request)
    is_text = asked.kind == TEXT and asked.number == 1
    number = int(request.path_params["number"])
    return page(
        request,
        "preview.html",
        200 if look or is_text else 422,
        id=who.item,
        name=asked.file.name,
        place=f"/v/{who.item}/p/{number}",
        number=asked.number,
        look=look,
        text=decode_charset(asked.file.data, "utf-8") if is_text else None,
        watermark=asked.watermark,
        may_print=asked.may_print,
    )


async def picture(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/p/N/PAGE.png: a page as a picture."""
    look = await (await _asked(request, who)).look(request)
    if look is None or look.media_type != "image/png":
        raise NotOpened(Refusal.NO_RIGHT, "there is no picture of this file")
    headers = {"Content-Security-Policy": FILE_POLICY, "Content-Disposition": "inline"}
    return Response(look.data, headers=headers, media_type="image/png")


async def body(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/p/N/PAGE/body: a page as HTML, for its frame."""
    asked = await _asked(request, who)
    look = await asked.look(request)
    if look is None or look.media_type != "text/html":
        raise NotOpened(Refusal.NO_RIGHT, "there is no text of this file")
    safe = await asyncio.to_thread(clean, look.data.decode("utf-8", "replace"))
    html = framed(words_of(request)("file.preview"), safe.html, may_print=asked.may_print)
    return HTMLResponse(html, headers={"Content-Security-Policy": BODY_POLICY})
