"""How pages are answered: the templates, the headers of each kind of answer, cookies, and what a form may be."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import parse_qsl, quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from mta.errors import KeyAway, TlogError
from mta.model.protected import Actor
from mta.rfc.mime.file_name import file_name
from mta.vault.sessions import Proven
from mta.web.portal.desk import Desk
from mta.web.portal.words import Words, chosen, words
from mta.web.site import agent, client_ip, site_of

SESSION, CHALLENGE, SIGN_IN = "ms", "mc", "mo"
_MOST_OF_A_FORM = 8192
_MOST_FIELDS = 20

# No script, no frame of others, nothing from elsewhere. The message itself has a stricter one of its own.
PAGE_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'"
)
BODY_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; img-src data:;"
    " style-src 'unsafe-inline'; form-action 'none'; frame-ancestors 'self'; base-uri 'none'"
)
FILE_POLICY = "sandbox; default-src 'none'; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"


def desk_of(request: Request) -> Desk:
    """The desk that a request came to; without one its paths are not there."""
    desk = site_of(request).desk
    assert desk is not None
    return desk


def words_of(request: Request) -> Words:
    """The words in the reader's language."""
    return words(chosen(request.headers.get("accept-language", "")))


def actor_of(request: Request, who: Proven) -> Actor:
    """Who does something, for the log, and how they have proved who they are."""
    return Actor(who.reader, who.method, client_ip(request), agent(request))


@lru_cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("mta.web.portal", "pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(request: Request, template: str, status: int = 200, **values: Any) -> Response:
    """A page of ours."""
    t = words_of(request)
    html = _templates().get_template(template).render(t=t, **values)
    headers = {"Content-Security-Policy": PAGE_POLICY, "Content-Language": t.language, "Vary": "Accept-Language"}
    return HTMLResponse(html, status, headers)


def told(request: Request, word: str, status: int, **values: Any) -> Response:
    """A page with one thing to say."""
    return page(request, "told.html", status, word=word, **{"ended": None, "back": "", **values})


def later(request: Request, error: Exception) -> Response:
    """The keys, the log or the store cannot be reached: nothing was opened, and a person must see to it."""
    word = "keys" if isinstance(error, KeyAway) else "log" if isinstance(error, TlogError) else "store"
    desk_of(request).alarm(word, error)
    return told(request, "later", 503)


def go(place: str) -> RedirectResponse:
    """What follows a form: a page that can be loaded again."""
    return RedirectResponse(place, 303)


def file(data: bytes, name: str, media_type: str = "application/octet-stream") -> Response:
    """A file to keep: no browser shows it, whatever it says it is (RFC 6266)."""
    known = file_name(name)
    plain = "".join(c if c.isascii() and (c.isalnum() or c in " ._-()") else "_" for c in known)
    disposition = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(known, safe='')}"
    headers = {"Content-Disposition": disposition, "Content-Security-Policy": FILE_POLICY}
    return Response(data, headers=headers, media_type=media_type)


# --- cookies


def cookie_name(desk: Desk, name: str) -> str:
    """`__Host-`: this host's alone, over HTTPS alone, for all its paths."""
    return f"__Host-{name}" if desk.secure else name


def cookie(request: Request, name: str) -> str:
    """The value of a cookie of ours."""
    return request.cookies.get(cookie_name(desk_of(request), name), "")[:64]


def set_cookie(
    request: Request, answer: Response, name: str, value: str, *, samesite: Literal["strict", "lax"] = "strict"
) -> None:
    """Give the browser a cookie, or with an empty value take it away. It ends with the browser."""
    desk = desk_of(request)
    answer.set_cookie(
        cookie_name(desk, name),
        value,
        max_age=None if value else 0,
        path="/",
        secure=desk.secure,
        httponly=True,
        samesite=samesite,
    )


# --- forms


def is_ours(request: Request) -> bool:
    """Whether a form was sent from a page of ours, by what the browser says of it (Fetch Metadata, RFC 6454)."""
    told = request.headers.get("sec-fetch-site")
    if told is not None:
        return told == "same-origin"
    origin = request.headers.get("origin")
    return origin is None or origin == site_of(request).url


async def form(request: Request) -> Mapping[str, str]:
    """The fields of a small form; nothing where it is none, or too large."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return {}
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _MOST_OF_A_FORM:
            return {}
    try:
        return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError:
        return {}
