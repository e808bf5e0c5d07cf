"""The way to a session: /m/LINK, the address, the code. Nothing here says whether a link or an address is known."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from mta.model.protected import Actor
from mta.vault.prove import network_of
from mta.vault.sessions import Proven
from mta.vault.vault import Vault
from mta.vault.visits import NOBODY, note_visit
from mta.web.portal.answers import (
    CHALLENGE,
    SESSION,
    cookie,
    desk_of,
    form,
    go,
    is_ours,
    page,
    set_cookie,
    told,
    words_of,
)
from mta.web.site import agent, client_ip

_AFTER_THE_ANSWER = 1.0  # seconds


def _link(request: Request) -> str:
    return str(request.path_params["link"])


def _places(link: str) -> dict[str, Any]:
    """Where the form for the code goes, and where to ask for another one."""
    return {"action": f"/m/{link}/code", "start": f"/m/{link}", "item": ""}


async def address(request: Request) -> Response:
    """GET /m/LINK: a form, the same for every link. Scanners may have it."""
    desk, link, ip = desk_of(request), _link(request), client_ip(request)
    now, known = desk.vault.clock.now(), f"{link} {network_of(ip)}"
    if desk.visits.allows(known, now) and desk.visits_in_all.take("", now):
        desk.visits.take(known, now)
        # after the answer: whether there is something to write down must not be told by its time
        desk.later(_visited(desk.vault, link, Actor(NOBODY, "link", ip, agent(request))), "visit")
    return page(request, "address.html", link=link, issuers=desk.sign_ins.names)


async def _visited(vault: Vault, link: str, actor: Actor) -> None:
    await asyncio.sleep(_AFTER_THE_ANSWER)
    await note_visit(vault, link, actor)


async def start(request: Request) -> Response:
    """POST /m/LINK/start: a code goes to the address of the grant, if it is the one that was typed."""
    if not is_ours(request):
        return told(request, "foreign", 403)
    desk, link = desk_of(request), _link(request)
    if not desk.proofs.may_start(network_of(client_ip(request))):
        return told(request, "busy", 429)
    typed = (await form(request)).get("address", "")
    started = await desk.proofs.start(link, typed, cookie(request, CHALLENGE))
    desk.count("code", "asked")
    desk.send(started.letter, words_of(request))
    answer = go(f"/m/{link}/code")
    set_cookie(request, answer, CHALLENGE, started.cookie)
    return answer


async def code_form(request: Request) -> Response:
    """GET /m/LINK/code: the field for the code, in the browser that asked for one."""
    link = _link(request)
    reference = desk_of(request).proofs.reference(link, cookie(request, CHALLENGE))
    if not reference:
        return go(f"/m/{link}")
    return page(request, "code.html", reference=reference, wrong=False, **_places(link))


async def code(request: Request) -> Response:
    """POST /m/LINK/code: the right code begins a session under a fresh name."""
    if not is_ours(request):
        return told(request, "foreign", 403)
    desk, link, challenge = desk_of(request), _link(request), cookie(request, CHALLENGE)
    typed = (await form(request)).get("code", "")
    proven = desk.proofs.answer(link, challenge, typed, network_of(client_ip(request)))
    desk.count("code", "wrong" if proven is None else "right")
    if proven is None:
        reference = desk.proofs.reference(link, challenge)
        if not reference:
            return go(f"/m/{link}")
        return page(request, "code.html", 403, reference=reference, wrong=True, **_places(link))
    answer = await logged_in(request, proven)
    set_cookie(request, answer, CHALLENGE, "")
    return answer


async def logged_in(request: Request, proven: Proven, answer: Response | None = None) -> Response:
    """A session under a fresh name for who has just proved something more, and the way to the item."""
    desk, before = desk_of(request), cookie(request, SESSION)
    desk.readings.forget(before)
    proven = replace(proven, waits=(await desk.channels.step(proven)).ask)
    answer = answer or go(f"/v/{proven.item}")
    set_cookie(request, answer, SESSION, desk.proofs.log_in(proven, before))
    return answer
