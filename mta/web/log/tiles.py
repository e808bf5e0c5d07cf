"""The log for everybody whom it concerns: its checkpoint, and the tiles of its tree (C2SP tlog-tiles)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from mta.errors import KasError, TlogError
from mta.rfc.tlog.checkpoint import open_checkpoint
from mta.rfc.tlog.tiles import WIDTH, Bundle, is_of, read_path, write_bundle
from mta.vault.log import checkpoint as newest_checkpoint
from mta.vault.tree import log_key, tile_of
from mta.web.site import site_of

_FOREVER = "public, max-age=31536000, immutable"


async def checkpoint(request: Request) -> Response:
    """GET /log/checkpoint."""
    note = await newest_checkpoint(site_of(request).vault)
    return PlainTextResponse(note, headers={"Cache-Control": "no-cache"})


async def tile(request: Request) -> Response:
    """GET /log/tile/...: hashes of the tree, or bundles of entries, which are salted hashes themselves."""
    vault = site_of(request).vault
    try:
        wanted = read_path(f"tile/{request.path_params['path']}")
    except TlogError as error:
        raise KasError("not_found", str(error)) from error
    signed, _ = open_checkpoint((await newest_checkpoint(vault)).encode(), log_key(vault))
    if not is_of(wanted, signed.size):
        raise KasError("not_found", "no such tile yet")
    if isinstance(wanted, Bundle):
        entries = await vault.store.entries(wanted.index * WIDTH, wanted.width)
        body = write_bundle([entry.leaf for entry in entries])
    else:
        body = await tile_of(vault, wanted)
    kind = _FOREVER if wanted.width == WIDTH else "no-cache"
    return Response(body, media_type="application/octet-stream", headers={"Cache-Control": kind})
