"""All certificates that matter: those the configuration names, and those that partners have shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mta.app.folders import queue_folder
from mta.config.certificates import PARTNER, PIN, Known, known_certificates
from mta.config.contract import Configuration
from mta.errors import UsageError
from mta.model.seen import Seen


def certificates(configuration: Configuration) -> list[Known]:
    """In the order of the file, then the partners'; a pin is told with the certificate that was seen to satisfy it."""
    named = known_certificates(configuration)
    partners = [_partner(where, seen) for where, seen in last_seen(configuration).items() if seen.sha256]
    return [_met(each, (*named, *partners)) for each in named] + partners


def last_seen(configuration: Configuration) -> dict[str, Seen]:
    """What the relay's own probes remember of each host, by connector and host; empty without them."""
    from mta.adapters.seen_file import SeenFile

    try:
        return SeenFile(queue_folder(configuration)).read().hosts
    except UsageError:
        return {}


def _partner(where: str, seen: Seen) -> Known:
    return Known(
        kind=PARTNER,
        where=where,
        subject=seen.subject,
        not_after=seen.not_after,
        issuer=seen.issuer,
        sha256=seen.sha256,
        spki_sha256=seen.spki_sha256,
        detail=", ".join(seen.names),
    )


def _met(known: Known, others: Iterable[Known]) -> Known:
    if known.kind != PIN:
        return known
    for other in others:
        if other.kind != PIN and known.sha256 in (other.sha256, "") and known.spki_sha256 in (other.spki_sha256, ""):
            return replace(known, not_after=other.not_after, detail=f"{other.subject} of {other.where}")
    return known
