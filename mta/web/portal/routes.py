"""The paths of the readers' pages."""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mta.web.portal import answering, proving, reading
from mta.web.portal.reading import Proved


class _IdConvertor(Convertor[str]):
    """128 bits in base32 (vault.new_id): everything else is no path of ours."""

    regex = "[a-z2-7]{26}"

    def convert(self, value: str) -> str:
        """As it stands."""
        return value

    def to_string(self, value: str) -> str:
        """As it stands."""
        return value


def portal_routes() -> list[Route]:
    """GET changes nothing that counts; what does is a POST."""
    register_url_convertor("id", _IdConvertor())
    post, get = ["POST"], ["GET"]
    link, item = "/m/{link:id}", "/v/{item:id}"
    return [
        Route("/portal.css", _style, methods=get),
        Route(link, proving.address, methods=get),
        Route(f"{link}/start", proving.start, methods=post),
        Route(f"{link}/code", proving.code_form, methods=get),
        Route(f"{link}/code", proving.code, methods=post),
        Route(item, Proved(reading.item, opened=False).__call__, methods=get),
        Route(f"{item}/open", Proved(reading.open_item, opened=False).__call__, methods=post),
        Route(f"{item}/text", Proved(reading.text).__call__, methods=get),
        Route(f"{item}/body", Proved(reading.body).__call__, methods=get),
        Route(f"{item}/a/{{number:int}}", Proved(reading.attachment).__call__, methods=get),
        Route(f"{item}/p/{{number:int}}", Proved(reading.preview).__call__, methods=get),
        Route(f"{item}/p/{{number:int}}/picture", Proved(reading.picture).__call__, methods=get),
        Route(f"{item}/message.eml", Proved(reading.message_file).__call__, methods=get),
        Route(f"{item}/message.tdf", Proved(reading.container).__call__, methods=get),
        Route(f"{item}/reply", Proved(answering.form).__call__, methods=get),
        Route(f"{item}/reply", Proved(answering.send).__call__, methods=post),
        Route(f"{item}/replied", Proved(answering.replied).__call__, methods=get),
        Route(f"{item}/log", Proved(reading.own_log).__call__, methods=get),
        Route(f"{item}/receipt/{{number:int}}", Proved(reading.receipt).__call__, methods=get),
        Route(f"{item}/logout", reading.log_out, methods=post),
    ]


@lru_cache
def _css() -> bytes:
    return files("mta.web.portal").joinpath("portal.css").read_bytes()


async def _style(request: Request) -> Response:
    return Response(_css(), media_type="text/css", headers={"Cache-Control": "public, max-age=3600"})
