"""A second proof of who a reader is: /v/ITEM/second and what lies below it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mta.errors import KasError, MtaError, NotOpened
from mta.observe import events
from mta.policy.channel import Channel
from mta.vault.sessions import Proven
from mta.web.portal.answers import PAGE_POLICY, actor_of, desk_of, form, go, page, told, words_of
from mta.web.portal.proving import logged_in
from mta.web.site import read_body, site_of

_LARGEST_ANSWER = 65_536  # octets that a passkey says
# The one script of ours speaks with the browser's passkeys, and with this page alone.
SCRIPT_POLICY = f"{PAGE_POLICY}; script-src 'self'; connect-src 'self'"
Prove = Callable[[Proven, str], Awaitable[bool]]


async def choose(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/second: the ways that are open to this reader."""
    return await _ways(request, who)


async def _ways(request: Request, who: Proven, status: int = 200, wrong: str = "") -> Response:
    desk = desk_of(request)
    step = await desk.channels.step(who)
    if not step.ways and not step.enrol and not step.ask:
        return go(f"/v/{who.item}")
    values = {
        "id": who.item,
        "step": step,
        "wrong": wrong,
        "number": desk.channels.masked_number(who) if Channel.SMS in step.ways else "",
        "sent": request.query_params.get("sent") == "1",
    }
    answer = page(request, "second.html", status, **values)
    answer.headers["Content-Security-Policy"] = SCRIPT_POLICY
    return answer


async def app(request: Request, who: Proven) -> Response:
    """POST /v/ITEM/second/totp: `code` of an authenticator app."""
    actor = actor_of(request, who)
    return await _prove(
        request, who, Channel.TOTP, lambda who, typed: desk_of(request).channels.prove_app(who, typed, actor)
    )


async def phrase(request: Request, who: Proven) -> Response:
    """POST /v/ITEM/second/phrase: the `phrase` that was agreed with the sender."""
    channels, actor = desk_of(request).channels, actor_of(request, who)
    return await _prove(request, who, Channel.PHRASE, lambda who, typed: channels.prove_phrase(who, typed, actor))


async def sms(request: Request, who: Proven) -> Response:
    """POST /v/ITEM/second/sms: the `code` that came to the reader's telephone."""
    channels, actor = desk_of(request).channels, actor_of(request, who)
    return await _prove(request, who, Channel.SMS, lambda who, typed: channels.prove_sms(who, typed, actor))


async def _prove(request: Request, who: Proven, channel: Channel, prove: Prove) -> Response:
    """One attempt; whoever succeeds goes on under a fresh session."""
    if channel not in (await desk_of(request).channels.step(who)).ways:
        return go(f"/v/{who.item}/second")
    fields = await form(request)
    good = await prove(who, fields.get("phrase" if channel == Channel.PHRASE else "code", ""))
    desk_of(request).count(channel.value, "right" if good else "wrong")
    if not good:
        return await _ways(request, who, 403, channel.value)
    return await _proved(request, who, channel)


async def _proved(request: Request, who: Proven, channel: Channel) -> Response:
    channels = tuple(dict.fromkeys((*who.channels, channel.value)))
    return await logged_in(request, replace(who, channels=channels))


async def send_sms(request: Request, who: Proven) -> Response:
    """POST /v/ITEM/second/sms/send: send a code to the number that we know."""
    desk, t = desk_of(request), words_of(request)
    if Channel.SMS not in (await desk.channels.step(who)).ways:
        return go(f"/v/{who.item}/second")
    try:
        if not await desk.channels.send_code(who, t("sms.text", host=desk.house.host, code="{code}")):
            return told(request, "busy", 429)
    except MtaError as error:
        site_of(request).log.error(events.ALARM, alarm="portal.sms", text=str(error))
        return told(request, "later", 503)
    return go(f"/v/{who.item}/second?sent=1")


# --- setting up an authenticator app


async def app_form(request: Request, who: Proven) -> Response:
    """GET /v/ITEM/second/app: the secret for the app, and a field for its first code."""
    return await _app_form(request, who)


async def _app_form(request: Request, who: Proven, *, wrong: bool = False) -> Response:
    desk = desk_of(request)
    if Channel.TOTP not in (await desk.channels.step(who)).enrol:
        return go(f"/v/{who.item}/second")
    secret = desk.channels.begin_app(who, desk.house.host)
    return page(request, "app.html", 403 if wrong else 200, id=who.item, secret=secret, wrong=wrong)


async def enrol_app(request: Request, who: Proven) -> Response:
    """POST /v/ITEM/second/app: the first `code` of the app; it counts as proved."""
    desk = desk_of(request)
    if Channel.TOTP not in (await desk.channels.step(who)).enrol:
        return go(f"/v/{who.item}/second")
    typed = (await form(request)).get("code", "")
    if not await desk.channels.enrol_app(who, typed, actor_of(request, who)):
        return await _app_form(request, who, wrong=True)
    return await _proved(request, who, Channel.TOTP)


# --- passkeys: a script asks, so the answers are JSON


async def passkey_options(request: Request, who: Proven) -> Response:
    """POST /v/ITEM/second/passkey/options: what the browser needs to use one."""
    return Response(await desk_of(request).passkeys.ask(who), media_type="application/json")


async def passkey(request: Request, who: Proven) -> Response:
    """POST /v/ITEM/second/passkey: what it has signed."""
    answer = await _answer(request)
    if not await desk_of(request).passkeys.prove(who, answer, actor_of(request, who)):
        return JSONResponse({"go": ""}, 403)
    return await _gone(request, who)


async def new_passkey_options(request: Request, who: Proven) -> Response:
    """POST /v/ITEM/second/passkey/new/options: what the browser needs to make one."""
    try:
        return Response(await desk_of(request).passkeys.ask_new(who), media_type="application/json")
    except NotOpened:
        return JSONResponse({"go": ""}, 403)


async def new_passkey(request: Request, who: Proven) -> Response:
    """POST /v/ITEM/second/passkey/new: the one that was made; it counts as proved."""
    try:
        await desk_of(request).passkeys.enrol(who, await _answer(request), actor_of(request, who))
    except NotOpened:
        return JSONResponse({"go": ""}, 403)
    return await _gone(request, who)


async def _answer(request: Request) -> bytes:
    try:
        return await read_body(request, _LARGEST_ANSWER)
    except KasError:
        return b"{}"


async def _gone(request: Request, who: Proven) -> Response:
    """The same as after a form, in a way that a script can follow."""
    proved = await _proved(request, who, Channel.PASSKEY)
    answer = JSONResponse({"go": proved.headers["location"]})
    answer.raw_headers += [(name, value) for name, value in proved.raw_headers if name == b"set-cookie"]
    return answer
