"""The key server's answers: the root key's public part, and content keys for who may have them."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.serialization import load_der_public_key
from starlette.requests import Request
from starlette.responses import Response

from mta.errors import IssuerAway, JoseError, KasError, KeyAway, MtaError, NotOpened, StorageError, TdfError
from mta.model.protected import Actor, RootKey
from mta.model.rights import Right
from mta.observe.vault_events import Operation
from mta.rfc.kas.request import (
    MAX_BODY,
    KeyRequest,
    RewrapRequest,
    read_public_key,
    read_rewrap,
    read_token,
    unpacked,
)
from mta.rfc.kas.respond import (
    KeyResult,
    codec_of,
    write_key_servers,
    write_legacy_public_key,
    write_legacy_rewrap,
    write_public_key,
    write_rewrap,
)
from mta.rfc.kas.session import Session, pem
from mta.rfc.kas.wellknown import is_offered
from mta.vault.open import OpenRequest, open_key
from mta.web.keys.tokens import Caller, authenticate
from mta.web.site import Site, agent, client_ip, read_body, site_of

_LEGACY_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as it was understood, and who sent it."""

    rewrap: RewrapRequest
    caller: Caller
    actor: Actor


async def public_key(request: Request) -> Response:
    """POST /kas.AccessService/PublicKey."""
    body = unpacked(await read_body(request, MAX_BODY), request.headers.get("content-encoding", ""))
    codec = codec_of(request.headers.get("content-type", ""))
    if not is_offered(read_public_key(body, request.headers.get("content-type", ""))):
        raise KasError("not_found", "no key of this algorithm")
    key = await active_key(site_of(request))
    return Response(write_public_key(key_pem(key), key.id, codec), media_type=codec)


async def legacy_public_key(request: Request) -> Response:
    """GET /kas/v2/kas_public_key and /kas/kas_public_key."""
    if not is_offered(request.query_params.get("algorithm", "")):
        raise KasError("not_found", "no key of this algorithm")
    key = await active_key(site_of(request))
    version = request.query_params.get("v", "")
    return Response(write_legacy_public_key(key_pem(key), key.id, version), media_type=_LEGACY_TYPE)


async def active_key(site: Site) -> RootKey:
    """The root key that seals. Raises KasError if there is none."""
    try:
        return await site.vault.active_key()
    except StorageError as error:
        raise KasError("unavailable", str(error)) from error
    except MtaError as error:
        raise KasError("not_found", str(error)) from error


def key_pem(key: RootKey) -> str:
    """A root key's public part."""
    return pem(load_der_public_key(key.spki))  # type: ignore[arg-type]  # an RSA key, as it was entered


async def key_servers(request: Request) -> Response:
    """POST /policy.kasregistry.KeyAccessServerRegistryService/ListKeyAccessServers: us alone."""
    codec = codec_of(request.headers.get("content-type", ""))
    return Response(write_key_servers([site_of(request).vault.url], codec), media_type=codec)


async def rewrap(request: Request) -> Response:
    """POST /kas.AccessService/Rewrap."""
    kind = request.headers.get("content-type", "")
    asked = await _asked(request, kind)
    session = Session(asked.rewrap.client_key)
    results = [await _result(site_of(request), asked, key, session) for key in asked.rewrap.keys]
    codec = codec_of(kind)
    body = write_rewrap(results, session.public_key, codec, asked.rewrap.legacy)
    return Response(body, media_type=codec)


async def legacy_rewrap(request: Request) -> Response:
    """POST /kas/v2/rewrap: one key, and HTTP errors for refusals."""
    asked = await _asked(request, _LEGACY_TYPE)
    session = Session(asked.rewrap.client_key)
    result = await _result(site_of(request), asked, asked.rewrap.keys[0], session)
    if not result.wrapped:
        raise KasError(result.code, "refused")
    return Response(write_legacy_rewrap(result.wrapped, session.public_key), media_type=_LEGACY_TYPE)


async def _asked(request: Request, kind: str) -> _Asked:
    """Who asks is proven before the request itself is looked at."""
    site = site_of(request)
    url = f"{site.url}{request.url.path}"
    try:
        caller = await authenticate(site, request.headers, "POST", url)
    except JoseError as error:
        raise KasError("unauthenticated", str(error)) from error
    except IssuerAway as error:
        raise KasError("unavailable", str(error)) from error
    body = unpacked(await read_body(request, MAX_BODY), request.headers.get("content-encoding", ""))
    now = site.vault.clock.now()
    rewrap = read_token(read_rewrap(body, kind), now, caller.key)
    if not site.seen.first_time(f"srt:{rewrap.digest.hex()}", rewrap.until, now):
        raise KasError("permission_denied", "the request was sent before")
    actor = Actor(caller.address, caller.method, client_ip(request), agent(request))
    return _Asked(rewrap, caller, actor)


async def _result(site: Site, asked: _Asked, key: KeyRequest, session: Session) -> KeyResult:
    wanted = OpenRequest(
        access=key.access,
        policy=key.policy,
        reader=asked.caller.address,
        wants=Right.EXPORT,  # who has the content key can do everything with the content
        operation=Operation.REWRAP,
        actor=asked.actor,
        proven_key=asked.caller.key is not None and asked.rewrap.verified,
        channels=asked.caller.channels,
    )
    try:
        opened = await open_key(site.vault, wanted)
    except MtaError as error:
        return KeyResult(key, code=_code(error))
    return KeyResult(key, session.wrap(opened.content_key), metadata={"X-Log-Entry": str(opened.entry)})


def _code(error: MtaError) -> str:
    """The two words that clients know, and `later`; which check it was stands in the log."""
    if isinstance(error, KeyAway | StorageError):
        return "unavailable"
    if isinstance(error, NotOpened) or not isinstance(error, TdfError):
        return "permission_denied"
    return "invalid_argument"
