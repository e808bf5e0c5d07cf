"""A reader answers: /v/ITEM/reply. The answer goes through everything that mail coming in goes through."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response

from mta.errors import MtaError, NotOpened
from mta.model.protected import Item
from mta.model.rights import Right
from mta.observe import events
from mta.observe.vault_events import Operation
from mta.ports.portal import Answer
from mta.rfc.mime.answer import AnswerFile, AnswerLetter, compose_answer
from mta.rfc.mime.file_name import file_name
from mta.rfc.mime.shown import show
from mta.vault.answer import keep_answer
from mta.vault.grants import Editor, shred
from mta.vault.mail import RELAY
from mta.vault.read import Standing, Wish
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
from mta.web.portal.passing import invite
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
    return _form(request, who, await standing_of(request, who, Right.REPLY))


def _form(request: Request, who: Proven, standing: Standing, wrong: str = "", text: str = "") -> Response:
    others = standing.others if Right.REPLYALL in standing.permission.rights else ()
    values = {"to": standing.item.owner, "others": others, "reader": who.reader, "wrong": wrong, "text": text}
    return page(request, "reply.html", 422 if wrong else 200, id=who.item, **values)


async def send(request: Request, who: Proven) -> Response:
    """POST /v/ITEM/reply: `text` and `files` become a message to the owner."""
    standing = await standing_of(request, who, Right.REPLY)
    desk, t = desk_of(request), words_of(request)
    too_large = t("reply.large", limit=largest(desk) // 1_000_000)
    size = request.headers.get("content-length", "")
    files_may_come = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
    if not size.isdecimal() or int(size) > (largest(desk) if files_may_come else _LONGEST_TEXT):
        return _form(request, who, standing, too_large)
    try:
        async with request.form(max_files=_MOST_FILES, max_fields=_MOST_FIELDS, max_part_size=_LONGEST_TEXT) as fields:
            written = await _content(fields)
    except (MultiPartException, HTTPException):
        return _form(request, who, standing, too_large)
    if not written.text.strip() and not written.files:
        return _form(request, who, standing, t("reply.empty"))
    if written.to_all:
        standing = await standing_of(request, who, Right.REPLYALL)
    if not desk.answers.take(who.grant, desk.vault.clock.now()):
        return told(request, "busy", 429)
    return await _sent(request, who, standing, written)


async def _sent(request: Request, who: Proven, standing: Standing, written: _Written) -> Response:
    """Keep it for its reader, write it down, hand it over; then the other readers get their notices."""
    desk, to, others = desk_of(request), standing.item.owner, standing.others if written.to_all else ()
    letter = await _letter(request, who, to, others)
    message = compose_answer(letter, written.text, written.files)
    kept = (letter.id, letter.subject, message)
    await desk.readings.tell(
        Wish(who, "", Operation.REPLY, Right.REPLY, actor_of(request, who)),
        files=str(len(written.files)),
        **({"others": str(len(others))} if others else {}),
    )
    answer: Item | None = None
    try:
        answer = await keep_answer(desk.vault, standing.item, (who.reader, *others), kept)
        await desk.courier.send_answer(Answer(who.reader, (to,), message, client_ip(request)))
    except MtaError as error:
        await _let_go(desk, answer)
        return _not_sent(request, who, error)
    for reader in others:
        await invite(request, who, answer, reader)
    return go(f"/v/{who.item}/replied")


async def _let_go(desk: Desk, answer: Item | None) -> None:
    """Nothing stays of an answer that was not sent."""
    if answer is not None:
        await shred(desk.vault, answer, Editor(RELAY, administrator=True))


def _not_sent(request: Request, who: Proven, error: MtaError) -> Response:
    if isinstance(error, NotOpened):
        site_of(request).log.warning(events.WEB_LATER, reason=f"an answer was refused: {error}")
        return told(request, "reply.refused", 422, back=who.item)
    site_of(request).log.error(events.ALARM, alarm="portal.answer", text=str(error))
    return told(request, "later", 503, back=who.item)


async def replied(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/replied: that it is on its way."""
    return told(request, "reply.done", 200, back=who.item)


@dataclass(frozen=True, slots=True)
class _Written:
    """What a reader has filled in."""

    text: str
    files: tuple[AnswerFile, ...]
    to_all: bool


async def _content(fields: FormData) -> _Written:
    text = fields.get("text")
    uploads = [one for one in fields.getlist("files") if isinstance(one, UploadFile) and one.filename]
    files = [AnswerFile(file_name(one.filename or ""), one.content_type or "", await one.read()) for one in uploads]
    return _Written(text if isinstance(text, str) else "", tuple(files), bool(fields.get("all")))


async def _letter(request: Request, who: Proven, to: str, cc: tuple[str, ...]) -> AnswerLetter:
    """The head of the answer, in the thread of what it answers."""
    desk = desk_of(request)
    wish = Wish(who, cookie(request, SESSION), Operation.READ, Right.VIEW, actor_of(request, who))
    fields = show((await read_for(request, wish)).data).fields
    return AnswerLetter(
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
        cc=cc,
    )
