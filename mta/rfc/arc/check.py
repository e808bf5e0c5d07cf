"""Judges the chain of a message, looking its keys up through the resolver: RFC 8617 §5.2."""

from __future__ import annotations

from collections.abc import Sequence

from mta.model.auth import ArcOutcome, AuthResult
from mta.ports import SenderNames
from mta.rfc.arc.parse import ArcSet, collect, sealed_as_failed
from mta.rfc.arc.verify import Evidence, judge
from mta.rfc.dkim.body import AuthMessage, body_hashes
from mta.rfc.dkim.canonicalize import Headers
from mta.rfc.dkim.check import look_up
from mta.rfc.dkim.parse import TagError
from mta.rfc.dkim.verify import request_of

MOST_KEYS = 60  # look-ups for one message: every seal's and the newest message signature's, then older ones'


async def check(message: AuthMessage, resolver: SenderNames, now: float) -> ArcOutcome:
    """The state of the message's chain; `now` is in epoch seconds. For the body see `dkim.check.check`."""
    if sealed_as_failed(message.block):
        return ArcOutcome(AuthResult.FAIL, reason="the newest seal says that the chain had failed (cv=fail)")
    try:
        sets = collect(message.block)
    except TagError as error:
        return ArcOutcome(AuthResult.FAIL, reason=str(error))
    answers = await look_up(_key_names(sets), resolver)
    hashes = body_hashes(message, (request_of(arc_set.covers) for arc_set in sets))
    return judge(sets, Headers(message.block), Evidence(answers, hashes, now))


def _key_names(sets: Sequence[ArcSet]) -> list[str]:
    if not sets:
        return []
    names = [sets[-1].signature.key_name, *(arc_set.seal.key_name for arc_set in sets)]
    names += [arc_set.signature.key_name for arc_set in reversed(sets)]
    return list(dict.fromkeys(names))[:MOST_KEYS]
