"""Device authorisation at our issuer (RFC 8628), for programs of readers: always with a proof of their key (DPoP)."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mta.errors import JoseError
from mta.model.protected import Actor
from mta.rfc.jose.dpop import Proof
from mta.vault.device import INTERVAL
from mta.vault.device import LIFE as DEVICE_LIFE
from mta.vault.prove import network_of
from mta.web.keys.tokens import LIFE, make_access_token, proof_for_token
from mta.web.site import agent, client_ip, read_body, site_of

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"  # RFC 8628 §3.4
DEVICE_PATH, DEVICE_PAGE = "/device/authorize", "/device"
METHOD = "device"  # how the reader was proved, in the log: a code by mail, typed elsewhere
_MAX_FORM = 16_384


async def authorize(request: Request) -> Response:
    """POST /device/authorize (RFC 8628 §3.1): two codes, one to keep and one to show."""
    site, form = site_of(request), await read_form(request)
    assert site.desk is not None
    if not form.get("client_id"):
        return refused("invalid_client", 401)
    proof = _proof(request)
    if proof is None:
        return refused("invalid_dpop_proof", 400)
    ip = client_ip(request)
    who = Actor("", METHOD, ip, agent(request))
    begun = site.desk.devices.begin(_name(form["client_id"]), proof.thumbprint, who, network_of(ip))
    if begun is None:
        return refused("slow_down", 429)
    code, device = begun
    return answered(
        {
            "device_code": code,
            "user_code": device.shown,
            "verification_uri": f"{site.url}{DEVICE_PAGE}",  # none with the code in it: RFC 8628 §5.4
            "expires_in": int(DEVICE_LIFE),
            "interval": int(INTERVAL),
        }
    )


async def device_token(request: Request, form: dict[str, str]) -> Response:
    """What a program hears that polls (RFC 8628 §3.5)."""
    site = site_of(request)
    assert site.desk is not None
    proof = _proof(request)
    if proof is None:
        return refused("invalid_dpop_proof", 400)
    polled = site.desk.devices.poll(form.get("device_code", ""), proof.thumbprint)
    if polled.word:
        return refused(polled.word, 400)
    made = make_access_token(site, polled.address, METHOD, proof, polled.client)
    return answered({"access_token": made, "token_type": "DPoP", "expires_in": LIFE})


def _name(client: str) -> str:
    """What a program calls itself, for people: it may say anything."""
    return "".join(letter if letter.isprintable() else "?" for letter in client[:60])


def _proof(request: Request) -> Proof | None:
    site = site_of(request)
    try:
        return proof_for_token(site, request.headers, f"{site.url}{request.url.path}")
    except JoseError:
        return None


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a request for a token. Raises KasError."""
    return dict(parse_qsl((await read_body(request, _MAX_FORM)).decode("utf-8", "replace")))


def refused(word: str, status: int) -> Response:
    """RFC 6749 §5.2."""
    return answered({"error": word}, status)


def answered(document: dict[str, object], status: int = 200) -> Response:
    """An answer of the token endpoint, for nobody to keep (RFC 6749 §5.1)."""
    return JSONResponse(document, status, {"Cache-Control": "no-store", "Pragma": "no-cache"})
