"""One suite for every source of certificates: what it finds, for whom, and how it says that it is down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from mta.adapters.directory.dns import CertSource, SmimeaSource
from mta.adapters.directory.fixed import FixedSource
from mta.adapters.directory.folder import FolderSettings, FolderSource
from mta.adapters.directory.harvested import HarvestedSource
from mta.adapters.directory.ldap import LdapSource
from mta.model.directory import Candidate, Harvest, SourceAnswer, SourceStatus, TrustRung
from mta.observe.log import EventLog
from mta.policy.directory import Demands, misfits
from mta.ports import CertificateSource
from mta.rfc.smimea.name import cert_name, smimea_names
from tests.support.fake_resolver import TEMPORARY, FakeResolver
from tests.support.patience import PATIENCE
from tests.support.people import BOB, EPOCH, der, mailbox, pem
from tests.support.programs import needs
from tests.support.slapd import Slapd, slapd


class Shelf:
    """A source under test: something is put into it, and it can be broken."""

    vouched = TrustRung.MANUAL
    domains = True  # it can hold the certificate of a whole domain
    breakable = True

    def __init__(self) -> None:
        self.source: CertificateSource

    async def put(self, address: str, *ders: bytes) -> None:
        """Certificates of an address, or of `@domain`."""
        raise NotImplementedError

    def damage(self) -> None:
        """From now on it cannot answer."""
        raise NotImplementedError


class FolderShelf(Shelf):
    def __init__(self, folder: Path, log: EventLog) -> None:
        self.root = folder / "certificates"
        self.root.mkdir()
        self.source = FolderSource(FolderSettings(self.root, folder / "index.sqlite"), log)

    async def put(self, address: str, *ders: bytes) -> None:
        (self.root / address).mkdir(exist_ok=True)
        for number, one in enumerate(ders):
            (self.root / address / f"{number}.pem").write_bytes(pem(one))

    def damage(self) -> None:
        self.root.rename(self.root.with_name("away"))


class FixedShelf(Shelf):
    breakable = False  # it lies in memory

    def __init__(self) -> None:
        self._addressed: list[tuple[bytes, str]] = []
        self._domains: dict[str, tuple[tuple[bytes, str], ...]] = {}
        self.source = FixedSource((), {})

    async def put(self, address: str, *ders: bytes) -> None:
        placed = tuple((one, "people.pem") for one in ders)
        if address.startswith("@"):
            self._domains[address[1:]] = placed
        else:
            self._addressed += placed
        self.source = FixedSource(self._addressed, self._domains)


class LdapShelf(Shelf):
    vouched = TrustRung.ANCHORED

    def __init__(self, server: Slapd) -> None:
        self._server = server
        self.source = LdapSource(server.settings())

    async def put(self, address: str, *ders: bytes) -> None:
        self._server.add(address, certificates=ders)

    def damage(self) -> None:
        self._server.stop()


class DnsShelf(Shelf):
    vouched = TrustRung.SECURE_DNS

    def __init__(self, rdtype: str) -> None:
        self.rdtype = rdtype
        self.resolver = FakeResolver(secure=True)
        self.domains = rdtype == "CERT"
        self.source = (CertSource if rdtype == "CERT" else SmimeaSource)(lambda: self.resolver)

    def name(self, address: str) -> str:
        if address.startswith("@"):
            return address[1:]
        return cert_name(mailbox(address)) if self.rdtype == "CERT" else smimea_names(mailbox(address))[0]

    async def put(self, address: str, *ders: bytes) -> None:
        records: list[Any] = [one if self.rdtype == "CERT" else f"3 0 0 {one.hex()}" for one in ders]
        self.resolver.set(self.name(address), self.rdtype, records)

    def damage(self) -> None:
        self.resolver.set(self.name(BOB), self.rdtype, TEMPORARY)


class HarvestedShelf(Shelf):
    vouched = TrustRung.HARVESTED
    domains = False

    def __init__(self, folder: Path, log: EventLog) -> None:
        self._path = folder / "harvested.sqlite"
        self.source: HarvestedSource = HarvestedSource(self._path, True, log)

    async def put(self, address: str, *ders: bytes) -> None:
        for one in ders:
            await self.source.remember(Harvest(mailbox(address), one, ders, ("aes256-cbc",), EPOCH), one)

    def damage(self) -> None:
        self._path.write_bytes(b"no database" * 1000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with slapd(tmp_path_factory.mktemp("slapd")) as running:
        yield running


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with open(tmp_path / "log", "wb") as file:
        yield EventLog(file.fileno(), "json")


PEER = [pytest.mark.peer, needs("slapd")]


@pytest.fixture(params=["folder", "fixed", "smimea", "cert", "harvested", pytest.param("ldap", marks=PEER)])
async def shelf(request: pytest.FixtureRequest, tmp_path: Path, log: EventLog) -> AsyncIterator[Shelf]:
    if request.param == "ldap":
        running: Slapd = request.getfixturevalue("server")
        if running.process is None:
            running.start()
        with running.admin() as connection:
            connection.search("ou=people,dc=contoso,dc=example", "(sn=*)")
            for entry in list(connection.entries):
                connection.delete(entry.entry_dn)
        made: Shelf = LdapShelf(running)
    else:
        made = {
            "folder": lambda: FolderShelf(tmp_path, log),
            "fixed": FixedShelf,
            "smimea": lambda: DnsShelf("SMIMEA"),
            "cert": lambda: DnsShelf("CERT"),
            "harvested": lambda: HarvestedShelf(tmp_path, log),
        }[request.param]()
    yield made
    await made.source.close()


async def ask(shelf: Shelf, address: str = BOB) -> SourceAnswer:
    return await asyncio.wait_for(shelf.source.find(mailbox(address)), PATIENCE)


def ders(answer: SourceAnswer) -> set[bytes]:
    return {one.der for one in answer.candidates}


def fits(one: Candidate, address: str = BOB) -> bool:
    return not misfits(one, mailbox(address), Demands(), EPOCH)


async def test_an_empty_one_knows_nobody(shelf: Shelf) -> None:
    answer = await ask(shelf)
    assert (answer.status, answer.candidates) == (SourceStatus.NONE, ())


async def test_it_finds_a_person_and_says_what_it_vouches_for(shelf: Shelf) -> None:
    one = der()
    await shelf.put(BOB, one)
    answer = await ask(shelf)
    assert answer.status is SourceStatus.FOUND
    (found,) = answer.candidates
    assert (found.der, found.source, found.rung, found.found_for) == (one, shelf.source.name, shelf.vouched, BOB)
    assert found.place
    assert found.rung <= shelf.source.rung
    assert fits(found)


async def test_it_finds_all_of_a_person_and_none_of_another(shelf: Shelf) -> None:
    old, new = der(), der(kind="rsa-2048")
    await shelf.put(BOB, old, new)
    await shelf.put("alice@fabrikam.example", der(emails=["alice@fabrikam.example"]))
    assert ders(await ask(shelf)) == {old, new}
    assert not ders(await ask(shelf, "nobody@fabrikam.example"))
    assert not ders(await ask(shelf, "bob@wingtip.example"))


@pytest.mark.parametrize("address", ["bob@FABRIKAM.example", "BOB@fabrikam.example"])
async def test_case_is_ignored(shelf: Shelf, address: str) -> None:
    await shelf.put(BOB, one := der())
    assert ders(await ask(shelf, address)) == {one}


async def test_what_has_gone_is_not_found_and_what_has_come_is(shelf: Shelf) -> None:
    await ask(shelf)
    await shelf.put(BOB, one := der())
    assert ders(await ask(shelf)) == {one}


async def test_a_whole_domain(shelf: Shelf) -> None:
    if not shelf.domains:
        return  # nothing can be put in for a domain
    one = der(emails=[], dns_names=["fabrikam.example"])
    await shelf.put("@fabrikam.example", one)
    for address in (BOB, "anybody@fabrikam.example"):
        (found,) = (await ask(shelf, address)).candidates
        assert (found.der, found.found_for) == (one, "@fabrikam.example")
        assert fits(found, address)
    assert not ders(await ask(shelf, "bob@sub.fabrikam.example"))


async def test_odd_addresses_are_only_addresses(shelf: Shelf) -> None:
    await shelf.put(BOB, der())
    for address in ("*@fabrikam.example", '"b*b"@fabrikam.example', "bo%@fabrikam.example", "jörg@bücher.example"):
        assert not ders(await ask(shelf, address))
    assert (await ask(shelf, "bob@[192.0.2.1]")).status is SourceStatus.NONE


async def test_a_broken_one_is_down_and_not_empty(shelf: Shelf) -> None:
    if not shelf.breakable:
        return
    await shelf.put(BOB, der())
    shelf.damage()
    answer = await ask(shelf)
    assert (answer.status, answer.candidates) == (SourceStatus.DOWN, ())
    assert answer.detail


async def test_many_at_once(shelf: Shelf) -> None:
    await shelf.put(BOB, one := der())
    answers = await asyncio.gather(*(ask(shelf) for _ in range(20)))
    assert all(ders(answer) == {one} for answer in answers)
