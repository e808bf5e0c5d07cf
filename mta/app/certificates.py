"""All certificates that matter: those the configuration names, and those that partners have shown."""

from __future__ import annotations

from dataclasses import replace

from mta.app.folders import in_house, state_folder
from mta.contract.certificates import PARTNER, PIN, Known, known_certificates
from mta.contract.configuration import Configuration
from mta.errors import UsageError
from mta.model.seen import Seen


def certificates(configuration: Configuration, named: list[Known] | None = None) -> list[Known]:
    """In the order of the file, then the partners'; a pin is told with the certificate that was seen to satisfy it.

    `named` spares reading what the configuration names once more.
    """
    named = known_certificates(configuration) if named is None else named
    partners = [_partner(where, seen) for where, seen in last_seen(configuration).items() if seen.sha256]
    seen = {
        digest: each for each in (*named, *partners) if each.kind != PIN for digest in (each.sha256, each.spki_sha256)
    }
    return [_met(each, seen) for each in named] + partners


def last_seen(configuration: Configuration) -> dict[str, Seen]:
    """What the relay's own probes remember of each host, by connector and host; empty without them."""
    from mta.adapters.seen_file import SeenFile

    try:
        with in_house(configuration):
            return SeenFile(state_folder(configuration)).read().hosts
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


def _met(known: Known, seen: dict[str, Known]) -> Known:
    other = seen.get(known.sha256 or known.spki_sha256) if known.kind == PIN else None
    if other is None:
        return known
    return replace(known, not_after=other.not_after, detail=f"{other.subject} of {other.where}")
