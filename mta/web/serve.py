"""The application: which path is answered by what, and what holds for every answer."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mta.errors import KasError, StorageError, TlogError
from mta.observe import events
from mta.rfc.kas.refuse import http_error
from mta.web.keys import access, device, wellknown
from mta.web.log import tiles, witness
from mta.web.portal.routes import portal_routes
from mta.web.security import SecureHeaders
from mta.web.site import Site

_WELL_KNOWN = "/wellknownconfiguration.WellKnownService"
_REALM = "/auth/realms/{realm}"  # where old clients expect a Keycloak


def application(site: Site) -> Starlette:
    """The portal as an ASGI application."""
    app = Starlette(
        routes=[*_routes(), *(_desk_routes() if site.desk else ())],
        middleware=[Middleware(SecureHeaders, secure=site.url.startswith("https://"))],
        exception_handlers={KasError: _kas_error, StorageError: _later, TlogError: _later, Exception: _defect},
    )
    app.state.site = site
    return app


def _desk_routes() -> list[Route]:
    """What a reader's browser asks for, or a program that waits for one."""
    return [Route(device.DEVICE_PATH, device.authorize, methods=["POST"]), *portal_routes()]


def _routes() -> list[Route]:
    post, get = ["POST"], ["GET"]
    return [
        Route("/kas.AccessService/PublicKey", access.public_key, methods=post),
        Route("/kas.AccessService/Rewrap", access.rewrap, methods=post),
        Route("/kas/v2/kas_public_key", access.legacy_public_key, methods=get),
        Route("/kas/kas_public_key", access.legacy_public_key, methods=get),
        Route("/kas/v2/rewrap", access.legacy_rewrap, methods=post),
        Route(
            "/policy.kasregistry.KeyAccessServerRegistryService/ListKeyAccessServers", access.key_servers, methods=post
        ),
        Route("/.well-known/opentdf-configuration", wellknown.opentdf, methods=get),
        Route(
            "/wellknownconfiguration.WellKnownService/GetWellKnownConfiguration",
            wellknown.opentdf_service,
            methods=post,
        ),
        Route("/.well-known/openid-configuration", wellknown.openid, methods=get),
        Route("/.well-known/oauth-authorization-server", wellknown.openid, methods=get),
        Route(f"{_REALM}/.well-known/openid-configuration", wellknown.openid, methods=get),
        Route(f"{_REALM}/protocol/openid-connect/token", wellknown.token, methods=post),
        Route("/token", wellknown.token, methods=post),
        Route("/jwks", wellknown.jwks, methods=get),
        Route("/log/checkpoint", tiles.checkpoint, methods=get),
        Route("/log/tile/{path:path}", tiles.tile, methods=get),
        Route("/log/add-checkpoint", witness.add_checkpoint, methods=post),
        Route("/healthz", _health, methods=get),
    ]


async def _health(request: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _kas_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, KasError)
    status, body = http_error(error)
    return Response(body, status, media_type="application/json")


async def _later(request: Request, error: Exception) -> Response:
    """The disk is full, or the store is locked: bland to them, everything to us."""
    request.app.state.site.log.warning(events.WEB_LATER, reason=str(error))
    return PlainTextResponse("Try again later.\n", 503, {"Retry-After": "30"})


async def _defect(request: Request, error: Exception) -> Response:
    request.app.state.site.log.defect("web", error)
    return PlainTextResponse("Something went wrong here.\n", 500)
