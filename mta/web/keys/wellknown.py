"""The documents by which clients find the key server's parts, and the token endpoint itself."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mta.errors import JoseError
from mta.rfc.jose.jwk import write_jwk
from mta.rfc.kas.respond import codec_of, write_configuration
from mta.rfc.kas.wellknown import (
    BaseKey,
    Issuer,
    algorithm_of,
    openid_configuration,
    opentdf_configuration,
    opentdf_document,
)
from mta.web.keys.access import active_key, key_pem
from mta.web.keys.device import DEVICE_GRANT, DEVICE_PATH, answered, device_token, read_form, refused
from mta.web.keys.tokens import LIFE, known_client, make_access_token, proof_for_token
from mta.web.site import Site, site_of


def issuer_of(site: Site) -> Issuer:
    """Our own issuer, at this address."""
    device = f"{site.url}{DEVICE_PATH}" if site.desk else ""
    return Issuer(site.url, f"{site.url}/token", f"{site.url}/jwks", device)


async def opentdf(request: Request) -> Response:
    """GET /.well-known/opentdf-configuration."""
    return JSONResponse(opentdf_document(await _configuration(site_of(request))))


async def opentdf_service(request: Request) -> Response:
    """POST /wellknownconfiguration.WellKnownService/GetWellKnownConfiguration."""
    codec = codec_of(request.headers.get("content-type", ""))
    return Response(write_configuration(await _configuration(site_of(request)), codec), media_type=codec)


async def _configuration(site: Site) -> dict[str, object]:
    key = await active_key(site)
    return opentdf_configuration(issuer_of(site), BaseKey(site.vault.url, algorithm_of(key.bits), key.id, key_pem(key)))


async def openid(request: Request) -> Response:
    """GET /.well-known/openid-configuration, also below the path of a realm."""
    return JSONResponse(openid_configuration(issuer_of(site_of(request))))


async def jwks(request: Request) -> Response:
    """GET /jwks: the key that signs our tokens."""
    signing = site_of(request).vault.signing
    key = {**write_jwk(signing.policy.public_key()), "kid": signing.id, "use": "sig", "alg": "ES256"}
    return JSONResponse({"keys": [key]})


async def token(request: Request) -> Response:
    """POST /token: client credentials (RFC 6749 §4.4), or a device code (RFC 8628 §3.4)."""
    site, form = site_of(request), await read_form(request)
    if form.get("grant_type") == DEVICE_GRANT and site.desk:
        return await device_token(request, form)
    if form.get("grant_type") != "client_credentials":
        return refused("unsupported_grant_type", 400)
    client = known_client(site, request.headers, form)
    if client is None:
        return refused("invalid_client", 401)
    try:
        proof = proof_for_token(site, request.headers, f"{site.url}{request.url.path}")
    except JoseError:
        return refused("invalid_dpop_proof", 400)
    made = make_access_token(site, client.address, "client", proof, client.id)
    kind = "DPoP" if proof else "Bearer"
    return answered({"access_token": made, "token_type": kind, "expires_in": LIFE})
