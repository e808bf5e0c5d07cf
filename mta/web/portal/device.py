"""/device: a reader lets a program in (RFC 8628 §3.3), by the code that it shows and the one that comes by mail.

Of programs the page says which there is none of: a user code is no secret. Of addresses it says nothing.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from mta.model.protected import Actor
from mta.vault.device import Device, user_code
from mta.vault.prove import network_of
from mta.web.portal.answers import cookie, desk_of, form, go, is_ours, page, set_cookie, told, words_of
from mta.web.site import agent, client_ip

_CHALLENGE = "md"


async def ask(request: Request) -> Response:
    """GET /device: a form for the program's code and the reader's address."""
    return page(request, "device.html", wrong=False)


async def start(request: Request) -> Response:
    """POST /device/start: a code goes to the address, if anything is kept for it here."""
    if not is_ours(request):
        return told(request, "foreign", 403)
    desk, network, fields = desk_of(request), network_of(client_ip(request)), await form(request)
    device = desk.devices.find(fields.get("code", ""), network)
    if device is None:
        return page(request, "device.html", 403, wrong=True)
    if not desk.device_proofs.may_start(network):
        return told(request, "busy", 429)
    typed, before = fields.get("address", ""), cookie(request, _CHALLENGE)
    started = await desk.device_proofs.start_program(device.user_code, typed, before)
    desk.send(started.letter, words_of(request))
    answer = go(f"/device/{device.user_code}")
    set_cookie(request, answer, _CHALLENGE, started.cookie)
    return answer


async def code_form(request: Request) -> Response:
    """GET /device/CODE: which program asks, and the field for the code that came by mail."""
    device = _device(request)
    return _code_page(request, device, 200) if device and _reference(request, device) else go("/device")


async def decide(request: Request) -> Response:
    """POST /device/CODE: with the right code the program is let in, or sent away."""
    if not is_ours(request):
        return told(request, "foreign", 403)
    desk, device, fields = desk_of(request), _device(request), await form(request)
    if device is None:
        return go("/device")
    ip, challenge = client_ip(request), cookie(request, _CHALLENGE)
    proven = desk.device_proofs.answer(device.user_code, challenge, fields.get("code", ""), network_of(ip))
    if proven is None:
        return _code_page(request, device, 403) if _reference(request, device) else go("/device")
    allowed = fields.get("decision") == "allow"
    actor = Actor(proven.reader, proven.method, ip, agent(request))
    await desk.devices.decide(device, proven.reader, allowed, actor)
    answer = told(request, "device.allowed" if allowed else "device.refused", 200)
    set_cookie(request, answer, _CHALLENGE, "")
    return answer


def _device(request: Request) -> Device | None:
    code = user_code(str(request.path_params["code"]))
    return desk_of(request).devices.find(code, network_of(client_ip(request)))


def _reference(request: Request, device: Device) -> str:
    return desk_of(request).device_proofs.reference(device.user_code, cookie(request, _CHALLENGE))


def _code_page(request: Request, device: Device, status: int) -> Response:
    reference = _reference(request, device)
    return page(request, "device_code.html", status, device=device, reference=reference, wrong=status != 200)
