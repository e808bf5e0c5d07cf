"""Sign-in at the reader's own organisation: /m/LINK/oidc/N, and back at /oidc/callback.

What a form posts must not lead to another host (form-action), and cookies for this site alone do not come along from
one; so a page of ours stands before each of the two ways. It goes on by itself, without script, or by its link.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from mta.errors import IssuerAway, NotOpened
from mta.observe import events
from mta.vault.prove import network_of
from mta.vault.sign_in import SignedIn, origin_of
from mta.web.portal.answers import SIGN_IN, cookie, desk_of, go, is_ours, page, set_cookie, told
from mta.web.portal.proving import logged_in
from mta.web.site import client_ip, site_of

_MY = "/my"  # how the place of a sender's sign-in begins; links of readers hold no slash


async def begin(request: Request) -> Response:
    """POST /m/LINK/oidc/N: on the way to the issuer of this number; the same for every link."""
    link = str(request.path_params["link"])
    return await begin_at(request, link, f"/m/{link}/oidc")


async def begin_at(request: Request, link: str, way: str) -> Response:
    """A sign-in begins; `way` is our page before the issuer's."""
    if not is_ours(request):
        return told(request, "foreign", 403)
    desk = desk_of(request)
    if not desk.proofs.may_start(network_of(client_ip(request))):
        return told(request, "busy", 429)
    try:
        value = await desk.sign_ins.begin(int(request.path_params["number"]), link)
    except NotOpened:
        return told(request, "signin", 403)
    except IssuerAway as error:
        return _away(request, error)
    answer = go(way)
    set_cookie(
        request, answer, SIGN_IN, value, samesite="lax"
    )  # the issuer's page leads back: no `strict` one would come
    return answer


async def way_there(request: Request) -> Response:
    """GET /m/LINK/oidc: on to the issuer."""
    begun = desk_of(request).sign_ins.waiting(cookie(request, SIGN_IN))
    link = str(request.path_params.get("link", ""))
    if begun is None or begun.link.startswith(_MY) != (not link) or (link and begun.link != link):
        return go(f"/m/{link}" if link else "/my/sign-in")
    return page(request, "way.html", place=begun.url, host=origin_of(begun.url), name=begun.issuer.name, back=False)


async def callback(request: Request) -> Response:
    """GET /oidc/callback: who comes back has proved their address, where the issuer vouches for it."""
    desk, asked = desk_of(request), request.query_params
    told_by = asked.get("state", "")[:64], asked.get("code", ""), asked.get("iss", "")
    try:
        signed_in = await desk.sign_ins.finish(cookie(request, SIGN_IN), *told_by)
    except NotOpened as refused:
        site_of(request).log.info(events.WEB_REFUSED, what="oidc", reason=str(refused))
        return told(request, "signin", 403)
    except IssuerAway as error:
        return _away(request, error)
    answer = await _signed_in(request, signed_in)
    set_cookie(request, answer, SIGN_IN, "", samesite="lax")
    return answer


async def _signed_in(request: Request, who: SignedIn) -> Response:
    """The same words for an unknown link as for another reader's."""
    proofs, mine = desk_of(request).proofs, who.link.startswith(_MY)
    way = proofs.vouched_owner(who.address, who.issuer) if mine else None
    proven = await (way or proofs.vouched(who.link, who.address, who.issuer))
    desk_of(request).count("oidc", "right" if proven else "wrong")
    if proven is None:
        return told(request, "signin", 403)
    place = who.link if mine else f"/v/{proven.item}"
    answer = page(request, "way.html", place=place, host="", name=who.issuer, back=True)
    return await logged_in(request, proven, answer)


def _away(request: Request, error: IssuerAway) -> Response:
    site_of(request).log.warning(events.WEB_LATER, reason=str(error))
    return told(request, "later", 503)
