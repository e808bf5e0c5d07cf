"""The certificate directory: its sources, the judge of certificates, and where they keep their files."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from mta.adapters.directory.folder import FolderSettings
from mta.adapters.directory.folder import FolderSource as Folder
from mta.adapters.directory.harvested import HarvestedSource as Harvested
from mta.adapters.durable import make_folder
from mta.app.folders import in_house, state_folder
from mta.contract.configuration import Configuration
from mta.contract.directory import CertSource, FolderSource, HarvestedSource, LdapSource, Source, StaticCertificates
from mta.model.directory import TrustRung
from mta.observe.log import EventLog
from mta.pipeline.directory import Directory, NoDirectory, NoJudge, Patience, Surroundings
from mta.pipeline.site import Contract, Site
from mta.policy.directory import Demands
from mta.ports import CertificateDirectory, CertificateJudge, CertificateSource, Resolver


def take_over(site: Site, fresh: Contract | None) -> None:
    """Give the site the directory and the judge of its contract, or of a fresh one if that says anything else.

    What is not exchanged keeps what it has cached; what is, ends once its look-ups under way have ended.
    """
    before = site.contract.configuration
    configuration = fresh.configuration if fresh else before
    if fresh and configuration.directory == before.directory:
        return
    old = (site.directory, site.judge)
    site.judge = certificate_judge(configuration, lambda: site.resolver)
    around = Surroundings(site.judge, site.clock, site.log)
    site.directory = certificate_directory(configuration, around, lambda: site.resolver)
    if fresh:
        loop = asyncio.get_running_loop()
        loop.call_later(configuration.directory.timeout, lambda: loop.create_task(_close(*old)))


async def _close(directory: CertificateDirectory, judge: CertificateJudge) -> None:
    from mta.adapters.judge.path import PathJudge

    await directory.close()
    if isinstance(judge, PathJudge):
        await judge.close()


def certificate_judge(configuration: Configuration, names: Callable[[], Resolver]) -> CertificateJudge:
    """The judge of S/MIME certificates; without anchors nobody is believed. `names` gives the resolver in force."""
    trust = configuration.directory.trust
    if trust.anchors is None:
        return NoJudge()
    from mta.adapters.judge.fetch import Fetcher, FetchSettings
    from mta.adapters.judge.path import JudgeSettings, PathJudge

    settings = JudgeSettings(
        anchors=trust.anchors.certificates,
        intermediates=trust.intermediates,
        revocation=trust.revocation,
        lists=trust.lists,
        min_rsa_bits=trust.min_rsa_bits,
        require_usage=trust.require_usage,
    )
    return PathJudge(settings, Fetcher(FetchSettings(trust.fetch, trust.fetch_public), names))


def certificate_directory(
    configuration: Configuration, around: Surroundings, names: Callable[[], Resolver]
) -> CertificateDirectory:
    """The directory of a configuration; `names` gives the resolver in force."""
    known = configuration.directory
    if known.is_empty:
        return NoDirectory()
    shop = Shop(configuration, around.log, names)
    sources = shop.sources()
    memory = next((one for one in sources if isinstance(one, Harvested)), None)
    patience = Patience(known.keep_found, known.keep_missing, known.keep_entries, known.timeout)
    demands = Demands(known.trust.min_rsa_bits, known.trust.require_usage)
    return Directory(sources, demands, patience, replace(around, memory=memory))


@contextlib.asynccontextmanager
async def open_directory(configuration: Configuration) -> AsyncIterator[CertificateDirectory]:
    """The directory for one command; it says nothing to the log."""
    from mta.app.outside import SystemClock, resolver

    names = resolver(configuration)
    judge = certificate_judge(configuration, lambda: names)
    with _silence() as log, in_house(configuration):
        directory = certificate_directory(configuration, Surroundings(judge, SystemClock(), log), lambda: names)
        try:
            yield directory
        finally:
            await _close(directory, judge)


@contextlib.asynccontextmanager
async def open_judge(configuration: Configuration) -> AsyncIterator[CertificateJudge]:
    """The judge of S/MIME certificates for one command."""
    from mta.app.outside import resolver

    names = resolver(configuration)
    judge = certificate_judge(configuration, lambda: names)
    try:
        yield judge
    finally:
        await _close(NoDirectory(), judge)


@dataclass(frozen=True, slots=True)
class Stores:
    """Where certificates are kept by us: folders, and what was learned."""

    folders: tuple[Folder, ...] = ()
    harvested: Harvested | None = None


@contextlib.asynccontextmanager
async def open_stores(configuration: Configuration) -> AsyncIterator[Stores]:
    """The stores of a configuration for one command."""
    with _silence() as log, in_house(configuration):
        shop = Shop(configuration, log, _no_names)
        numbered = tuple(enumerate(configuration.directory.sources))
        folders = tuple(shop.folder(place, one) for place, one in numbered if isinstance(one, FolderSource))
        learned = [shop.harvested(one) for _, one in numbered if isinstance(one, HarvestedSource)]
        try:
            yield Stores(folders, learned[0] if learned else None)
        finally:
            for folder in folders:
                await folder.close()
            for one in learned:
                await one.close()


def _no_names() -> Resolver:
    raise AssertionError("stores look up no names")


@contextlib.contextmanager
def _silence() -> Iterator[EventLog]:
    with open(os.devnull, "wb") as nowhere:
        yield EventLog(nowhere.fileno(), "json")


class Shop:
    """Builds the sources of a configuration."""

    def __init__(self, configuration: Configuration, log: EventLog, names: Callable[[], Resolver]) -> None:
        self._configuration = configuration
        self._log = log
        self._names = names

    def sources(self) -> list[CertificateSource]:
        """The certificates of connectors, then the sources in the order of the file."""
        known = self._configuration.directory
        return [*self._fixed(known.static), *(self._source(*pair) for pair in enumerate(known.sources))]

    def _fixed(self, static: StaticCertificates) -> list[CertificateSource]:
        from mta.adapters.directory.fixed import FixedSource

        return [FixedSource(static.addressed, static.domains)] if static else []

    def _source(self, place: int, source: Source) -> CertificateSource:
        if isinstance(source, FolderSource):
            return self.folder(place, source)
        if isinstance(source, LdapSource):
            return self._ldap(place, source)
        if isinstance(source, HarvestedSource):
            return self.harvested(source)
        from mta.adapters.directory.dns import CertSource as CertRecords
        from mta.adapters.directory.dns import SmimeaSource as SmimeaRecords

        return CertRecords(self._names) if isinstance(source, CertSource) else SmimeaRecords(self._names)

    def folder(self, place: int, source: FolderSource) -> Folder:
        """The folder that is source number `place`."""
        mark = hashlib.sha256(os.fsencode(source.path)).hexdigest()[:16]
        index = files_folder(self._configuration) / f"folder-{mark}.sqlite"
        rung = TrustRung[source.trust.upper()]
        return Folder(FolderSettings(Path(source.path), index, rung, self._called("folder", place)), self._log)

    def harvested(self, source: HarvestedSource) -> Harvested:
        """What was learned from signed mail."""
        path = files_folder(self._configuration) / "harvested.sqlite"
        return Harvested(path, source.approve == "automatic", self._log)

    def _ldap(self, place: int, source: LdapSource) -> CertificateSource:
        from mta.adapters.directory.ldap import LdapSource as Ldap
        from mta.adapters.directory.ldap_connection import LdapSettings

        settings = LdapSettings(
            host=source.host,
            port=source.port,
            tls=source.tls,
            base=source.base,
            user=source.user,
            password=source.password,
            anchors=source.ca.certificates if source.ca else (),
            addresses=source.addresses,
            certificates=source.certificates,
            object_filter=source.object_filter,
            domains=source.domains,
            rung=TrustRung[source.trust.upper()],
            timeout=source.timeout,
            name=self._called("ldap", place),
        )
        return Ldap(settings)

    def _called(self, word: str, place: int) -> str:
        """The name of a source; where a type stands several times they are told apart by their numbers."""
        kinds = [type(one) for one in self._configuration.directory.sources]
        kind = kinds[place]
        return f"{word}-{kinds[: place + 1].count(kind)}" if kinds.count(kind) > 1 else word


def files_folder(configuration: Configuration) -> Path:
    """Where the directory keeps its own files, beside the shards of the queue; made if it is not there."""
    folder = state_folder(configuration) / "directory"
    if not folder.is_dir():
        make_folder(folder)
    return folder
