"""The way to /my: address and code, or a sign-in at an issuer. Nothing here says who has protected anything."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response

from mta.vault.prove import network_of
from mta.vault.sessions import OWN
from mta.web.portal.answers import CHALLENGE, cookie, desk_of, form, go, is_ours, page, set_cookie, told, words_of
from mta.web.portal.oidc import begin_at
from mta.web.portal.proving import logged_in
from mta.web.site import client_ip

_ITEM = re.compile(r"[a-z2-7]{26}")


def _wanted(text: str) -> str:
    """The item that they came for, if it is the id of one."""
    return text if _ITEM.fullmatch(text) else ""


async def address(request: Request) -> Response:
    """GET /my/sign-in: a form for the address, the same for everybody."""
    item = _wanted(request.query_params.get("item", ""))
    return page(request, "my_address.html", item=item, issuers=desk_of(request).sign_ins.names)


async def start(request: Request) -> Response:
    """POST /my/start: a code goes to `address`, if it has protected something."""
    if not is_ours(request):
        return told(request, "foreign", 403)
    desk = desk_of(request)
    if not desk.proofs.may_start(network_of(client_ip(request))):
        return told(request, "busy", 429)
    fields = await form(request)
    started = await desk.proofs.start_owner(fields.get("address", ""), cookie(request, CHALLENGE))
    desk.send(started.letter, words_of(request))
    answer = go(_with("/my/code", _wanted(fields.get("item", ""))))
    set_cookie(request, answer, CHALLENGE, started.cookie)
    return answer


def _with(path: str, item: str) -> str:
    return f"{path}?item={item}" if item else path


async def code_form(request: Request) -> Response:
    """GET /my/code: the field for the code."""
    return _code_form(request, _wanted(request.query_params.get("item", "")))


def _code_form(request: Request, item: str, *, wrong: bool = False) -> Response:
    reference = desk_of(request).proofs.reference(OWN, cookie(request, CHALLENGE))
    if not reference:
        return go(_with("/my/sign-in", item))
    values = {"action": "/my/code", "start": _with("/my/sign-in", item), "item": item}
    return page(request, "code.html", 403 if wrong else 200, reference=reference, wrong=wrong, **values)


async def code(request: Request) -> Response:
    """POST /my/code: the right code begins a session under a fresh name."""
    if not is_ours(request):
        return told(request, "foreign", 403)
    fields, challenge = await form(request), cookie(request, CHALLENGE)
    item = _wanted(fields.get("item", ""))
    proofs = desk_of(request).proofs
    proven = proofs.answer(OWN, challenge, fields.get("code", ""), network_of(client_ip(request)))
    if proven is None:
        return _code_form(request, item, wrong=True)
    answer = await logged_in(request, proven, go(f"/my/{item}" if item else "/my"))
    set_cookie(request, answer, CHALLENGE, "")
    return answer


async def oidc(request: Request) -> Response:
    """POST /my/oidc/N: on the way to the issuer of this number."""
    item = _wanted((await form(request)).get("item", ""))
    return await begin_at(request, f"/my/{item}" if item else "/my", "/my/oidc")
