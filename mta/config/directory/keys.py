"""The `directory` object: where certificates of recipients are looked up, and when they are believed."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mta.config.directory.sources import SourceKeys, build_source, check_anchors, check_sources
from mta.config.directory.trust import TrustKeys, build_trust, check_trust
from mta.config.files import Files
from mta.config.problems import Path, Report
from mta.config.words import Duration, Keys, optional
from mta.contract.directory import Directory, StaticCertificates
from mta.contract.server import Server

HERE: Path = ("directory",)
Entries = Annotated[int, Field(strict=True, ge=1, le=10_000_000)]


class CacheKeys(Keys):
    """How long answers are kept."""

    found: Duration = optional("How long found certificates are kept.", 3600.0)
    missing: Duration = optional("How long it is kept that there is none.", 300.0)
    entries: Entries = optional("Most answers kept.", 10_000)


class DirectoryKeys(Keys):
    """Where certificates of recipients are looked up."""

    sources: list[SourceKeys] = optional("Where to look, in order.", [])
    trust: TrustKeys = optional("When a certificate is believed.", TrustKeys())
    cache: CacheKeys = optional("How long answers are kept.", CacheKeys())
    timeout: Duration = optional("How long one source may take.", 10.0)


def build_directory(keys: DirectoryKeys, files: Files, report: Report, static: StaticCertificates) -> Directory:
    """The directory that stands in the file as `keys`, with the certificates of connectors."""
    return Directory(
        sources=tuple(build_source(one, files, report, (*HERE, "sources", n)) for n, one in enumerate(keys.sources)),
        trust=build_trust(keys.trust, files, (*HERE, "trust")),
        keep_found=keys.cache.found,
        keep_missing=keys.cache.missing,
        keep_entries=keys.cache.entries,
        timeout=keys.timeout,
        static=static,
    )


def check_directory(directory: Directory, keys: DirectoryKeys, server: Server | None, report: Report) -> None:
    """Report every contradiction of the directory."""
    if not report.intact((*HERE, "sources")):
        return  # they were taken out: what could be said would be of others
    check_sources(directory.sources, keys.sources, server, report)
    if report.intact((*HERE, "trust")):
        if keys.trust.anchors is None:  # one that cannot be read was told already
            check_anchors(directory.sources, report)
        check_trust(directory.trust, keys.trust, report, (*HERE, "trust"))
