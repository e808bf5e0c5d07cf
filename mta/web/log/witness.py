"""POST /log/add-checkpoint: partners have us witness their logs (C2SP tlog-witness)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from mta.observe import events
from mta.rfc.tlog.witness import MAX_REQUEST
from mta.vault.witness import answer
from mta.web.site import read_body, site_of


async def add_checkpoint(request: Request) -> Response:
    """200 with a cosignature, or why not; of a refusal our log has the reason."""
    site = site_of(request)
    verdict = await answer(site.vault, await read_body(request, MAX_REQUEST))
    if verdict.status != 200:
        site.log.warning(events.WITNESS_REFUSED, status=verdict.status, reason=verdict.reason)
    return Response(verdict.body, verdict.status, media_type=verdict.content_type)
