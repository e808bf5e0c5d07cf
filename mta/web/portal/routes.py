"""The paths of the readers' pages."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mta.vault.device import ALPHABET
from mta.vault.sign_in import CALLBACK
from mta.web.portal import after, answering, device, my, my_sign_in, oidc, passing, previews, proving, reading, second
from mta.web.portal.my import Owned
from mta.web.portal.reading import Handler, Proved


class _IdConvertor(Convertor[str]):
    """128 bits in base32 (vault.new_id): everything else is no path of ours."""

    regex = "[a-z2-7]{26}"

    def convert(self, value: str) -> str:
        """As it stands."""
        return value

    def to_string(self, value: str) -> str:
        """As it stands."""
        return value


class _UserCodeConvertor(_IdConvertor):
    """The code that a program shows (vault/device.py)."""

    regex = f"[{ALPHABET}]{{8}}"


def portal_routes() -> list[Route]:
    """GET changes nothing that counts; what does is a POST."""
    register_url_convertor("id", _IdConvertor())
    post, get = ["POST"], ["GET"]
    link, item = "/m/{link:id}", "/v/{item:id}"
    return [
        Route("/portal.css", _style, methods=get),
        Route("/passkey.js", _script, methods=get),
        *_device(),
        Route(link, proving.address, methods=get),
        Route(f"{link}/start", proving.start, methods=post),
        Route(f"{link}/code", proving.code_form, methods=get),
        Route(f"{link}/code", proving.code, methods=post),
        Route(f"{link}/oidc/{{number:int}}", oidc.begin, methods=post),
        Route(f"{link}/oidc", oidc.way_there, methods=get),
        Route(CALLBACK, oidc.callback, methods=get),
        Route(item, Proved(reading.item, opened=False).__call__, methods=get),
        Route(f"{item}/open", Proved(reading.open_item, opened=False).__call__, methods=post),
        Route(f"{item}/text", Proved(reading.text).__call__, methods=get),
        Route(f"{item}/body", Proved(reading.body).__call__, methods=get),
        *_files(),
        *_passing(),
        Route(f"{item}/message.eml", Proved(reading.message_file).__call__, methods=get),
        Route(f"{item}/message.tdf", Proved(reading.container).__call__, methods=get),
        Route(f"{item}/reply", Proved(answering.form).__call__, methods=get),
        Route(f"{item}/reply", Proved(answering.send).__call__, methods=post),
        Route(f"{item}/replied", Proved(answering.replied).__call__, methods=get),
        Route(f"{item}/log", Proved(reading.own_log).__call__, methods=get),
        Route(f"{item}/receipt/{{number:int}}", Proved(reading.receipt).__call__, methods=get),
        Route(f"{item}/ask", Proved(after.ask, opened=False).__call__, methods=post),
        Route(f"{item}/asked", Proved(after.asked, opened=False).__call__, methods=get),
        Route(f"{item}/delete", Proved(after.delete_form, opened=False).__call__, methods=get),
        Route(f"{item}/delete", Proved(after.delete, opened=False).__call__, methods=post),
        Route(f"{item}/deleted", Proved(after.deleted, opened=False).__call__, methods=get),
        Route(f"{item}/logout", reading.log_out, methods=post),
        *_second(f"{item}/second"),
        *_my(),
    ]


def _passing() -> list[Route]:
    """Answers that were given, and passing a message on."""
    post, get, item = ["POST"], ["GET"], "/v/{item:id}"
    return [
        Route(f"{item}/answers/{{answer:id}}", Proved(passing.answer).__call__, methods=post),
        Route(f"{item}/forward", Proved(passing.forward_form).__call__, methods=get),
        Route(f"{item}/forward", Proved(passing.forward).__call__, methods=post),
        Route(f"{item}/forwarded", Proved(passing.forwarded).__call__, methods=get),
    ]


def _files() -> list[Route]:
    """The files of a message: to have, and to look at."""
    get, item, file = ["GET"], "/v/{item:id}", "/v/{item:id}/p/{number:int}"
    return [
        Route(f"{item}/a/{{number:int}}", Proved(reading.attachment).__call__, methods=get),
        Route(f"{item}/a/{{number:int}}/sealed", Proved(reading.sealed_attachment).__call__, methods=get),
        Route(file, Proved(previews.preview).__call__, methods=get),
        Route(f"{file}/{{page:int}}", Proved(previews.preview).__call__, methods=get),
        Route(f"{file}/{{page:int}}.png", Proved(previews.picture).__call__, methods=get),
        Route(f"{file}/{{page:int}}/body", Proved(previews.body).__call__, methods=get),
    ]


def _my() -> list[Route]:
    """The sender's own pages."""
    post, get, item = ["POST"], ["GET"], "/my/{item:id}"
    return [
        Route("/my", Owned(my.items).__call__, methods=get),
        Route("/my/sign-in", my_sign_in.address, methods=get),
        Route("/my/start", my_sign_in.start, methods=post),
        Route("/my/code", my_sign_in.code_form, methods=get),
        Route("/my/code", my_sign_in.code, methods=post),
        Route("/my/oidc/{number:int}", my_sign_in.oidc, methods=post),
        Route("/my/oidc", oidc.way_there, methods=get),
        Route("/my/logout", my.log_out, methods=post),
        Route(item, Owned(my.item).__call__, methods=get),
        Route(f"{item}/revoke", Owned(my.revoke).__call__, methods=post),
        Route(f"{item}/extend", Owned(my.extend).__call__, methods=post),
        Route(f"{item}/add", Owned(my.add).__call__, methods=post),
        Route(f"{item}/again", Owned(my.again).__call__, methods=post),
        Route(f"{item}/receipt/{{number:int}}", Owned(my.receipt).__call__, methods=get),
    ]


def _device() -> list[Route]:
    """Letting a program in."""
    register_url_convertor("user_code", _UserCodeConvertor())
    return [
        Route("/device", device.ask, methods=["GET"]),
        Route("/device/start", device.start, methods=["POST"]),
        Route("/device/{code:user_code}", device.code_form, methods=["GET"]),
        Route("/device/{code:user_code}", device.decide, methods=["POST"]),
    ]


def _second(place: str) -> list[Route]:
    """The second proof: for who has given the first, before anything is opened."""

    def route(path: str, handler: Handler, method: str) -> Route:
        return Route(f"{place}{path}", Proved(handler, opened=False, second=False).__call__, methods=[method])

    return [
        route("", second.choose, "GET"),
        route("/totp", second.app, "POST"),
        route("/phrase", second.phrase, "POST"),
        route("/sms", second.sms, "POST"),
        route("/sms/send", second.send_sms, "POST"),
        route("/app", second.app_form, "GET"),
        route("/app", second.enrol_app, "POST"),
        route("/passkey/options", second.passkey_options, "POST"),
        route("/passkey", second.passkey, "POST"),
        route("/passkey/new/options", second.new_passkey_options, "POST"),
        route("/passkey/new", second.new_passkey, "POST"),
    ]


@lru_cache
def _file(name: str) -> bytes:
    return files("mta.web.portal").joinpath(name).read_bytes()


async def _style(request: Request) -> Response:
    return Response(_file("portal.css"), media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})


async def _script(request: Request) -> Response:
    headers = {"Cache-Control": "public, max-age=3600"}
    return Response(_file("passkey.js"), media_type="text/javascript", headers=headers)
