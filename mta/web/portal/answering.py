"""A reader answers: /v/ITEM/reply. The answer goes through everything that mail coming in goes through."""

from __future__ import annotations

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response

from mta.errors import MtaError, NotOpened
from mta.model.rights import Right
from mta.observe import events
from mta.observe.vault_events import Operation
from mta.ports.portal import Answer
from mta.rfc.mime.answer import AnswerFile, AnswerLetter, compose_answer
from mta.rfc.mime.file_name import file_name
from mta.rfc.mime.shown import show
from mta.vault.read import Wish
from mta.vault.sessions import Proven
from mta.web.portal.answers import (
    SESSION,
    actor_of,
    cookie,
    desk_of,
    go,
    page,
    told,
    words_of,
)
from mta.web.portal.desk import Desk
from mta.web.portal.reading import read_for, standing_of
from mta.web.site import client_ip, site_of

_MOST_FILES, _MOST_FIELDS = 20, 5
_LONGEST_TEXT = 500_000  # octets
_ROOM = 65_536  # octets for header, boundaries and text beside the files


def largest(desk: Desk) -> int:
    """Octets of a form whose answer is a message within the limit: files grow by base64 (RFC 2045 §6.8)."""
    return max(0, (desk.house.largest - _ROOM) * 57 // 78)


async def form(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/reply: the form."""
    standing = await standing_of(request, who, Right.REPLY)
    return _form(request, who, standing.item.owner)


def _form(request: Request, who: Proven, to: str, wrong: str = "", text: str = "") -> Response:
    status = 422 if wrong else 200
    return page(request, "reply.html", status, id=who.item, to=to, reader=who.reader, wrong=wrong, text=text)


async def send(request: Request, who: Proven) -> Response:
    """POST /v/ITEM/reply: `text` and `files` become a message to the owner."""
    standing = await standing_of(request, who, Right.REPLY)
    desk, t, to = desk_of(request), words_of(request), standing.item.owner
    size = request.headers.get("content-length", "")
    files_may_come = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
    if not size.isdecimal() or int(size) > (largest(desk) if files_may_come else _LONGEST_TEXT):
        return _form(request, who, to, t("reply.large", limit=largest(desk) // 1_000_000))
    try:
        async with request.form(max_files=_MOST_FILES, max_fields=_MOST_FIELDS, max_part_size=_LONGEST_TEXT) as fields:
            text, files = await _content(fields)
    except (MultiPartException, HTTPException):
        return _form(request, who, to, t("reply.large", limit=largest(desk) // 1_000_000))
    if not text.strip() and not files:
        return _form(request, who, to, t("reply.empty"))
    if not desk.answers.take(who.grant, desk.vault.clock.now()):
        return told(request, "busy", 429)
    message = await _message(request, who, to, (text, files))
    actor = actor_of(request, who)
    await desk.readings.tell(Wish(who, "", Operation.REPLY, Right.REPLY, actor), files=str(len(files)))
    try:
        await desk.courier.send_answer(Answer(who.reader, (to,), message, client_ip(request)))
    except NotOpened as refused:
        site_of(request).log.warning(events.WEB_LATER, reason=f"an answer was refused: {refused}")
        return told(request, "reply.refused", 422, back=who.item)
    except MtaError as error:
        site_of(request).log.error(events.ALARM, alarm="portal.answer", text=str(error))
        return told(request, "later", 503, back=who.item)
    return go(f"/v/{who.item}/replied")


async def replied(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/replied: that it is on its way."""
    return told(request, "reply.done", 200, back=who.item)


async def _content(fields: FormData) -> tuple[str, tuple[AnswerFile, ...]]:
    text = fields.get("text")
    uploads = [one for one in fields.getlist("files") if isinstance(one, UploadFile) and one.filename]
    files = [AnswerFile(file_name(one.filename or ""), one.content_type or "", await one.read()) for one in uploads]
    return text if isinstance(text, str) else "", tuple(files)


async def _message(request: Request, who: Proven, to: str, content: tuple[str, tuple[AnswerFile, ...]]) -> bytes:
    """The answer, in the thread of what it answers."""
    desk = desk_of(request)
    wish = Wish(who, cookie(request, SESSION), Operation.READ, Right.VIEW, actor_of(request, who))
    fields = show((await read_for(request, wish)).data).fields
    letter = AnswerLetter(
        id=desk.vault.new_id(),
        hostname=desk.house.hostname,
        from_=desk.own_address(to),
        reader=who.reader,
        to=to,
        date=desk.vault.clock.now(),
        portal=desk.house.host,
        subject=fields.get("subject", ""),
        message_id=fields.get("message-id", ""),
        references=fields.get("references", ""),
    )
    return compose_answer(letter, *content)
