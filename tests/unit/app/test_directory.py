"""The directory of a configuration: which sources it has, and what a reload keeps."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mta.app.directory import Shop, certificate_judge, files_folder, open_directory, take_over
from mta.app.site import alone, make_site
from mta.config.load import load
from mta.contract.configuration import Configuration
from mta.model.directory import TrustRung
from mta.model.tls import PathFault
from mta.observe.log import EventLog
from mta.pipeline.directory import NoDirectory
from tests.support.fake_resolver import FakeResolver
from tests.support.people import EPOCH, der, mailbox, pem
from tests.support.pki import authority

YAML = """
server: {hostname: mx.contoso.example}
connectors:
  fabrikam:
    domains: [fabrikam.example]
    inbound: {identity: none}
    outbound: {smime: {certificates: [bob.pem]}}
directory:
  trust: {anchors: anchors.pem, fetch: []}
  sources:
    - {type: folder, path: one}
    - {type: ldap, url: "ldaps://ldap.example", base: "dc=x"}
    - {type: folder, path: two, trust: anchored}
    - {type: smimea}
    - {type: cert}
    - {type: harvested}
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Configuration:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    authority("People CA").write(tmp_path / "anchors.pem")
    (tmp_path / "bob.pem").write_bytes(pem(der()))
    (tmp_path / "connectors.yaml").write_text(YAML)
    return load(str(tmp_path / "connectors.yaml"), now=EPOCH, cpus=1)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EventLog]:
    with open(tmp_path / "log", "wb") as file:
        yield EventLog(file.fileno(), "json")


async def test_every_source_has_a_name_and_the_best_rung_it_can_reach(
    configuration: Configuration, log: EventLog
) -> None:
    sources = Shop(configuration, log, FakeResolver).sources()
    assert [(source.name, source.rung) for source in sources] == [
        ("connector", TrustRung.MANUAL),
        ("folder-1", TrustRung.MANUAL),
        ("ldap", TrustRung.ANCHORED),
        ("folder-2", TrustRung.ANCHORED),
        ("smimea", TrustRung.ANCHORED),
        ("cert", TrustRung.ANCHORED),
        ("harvested", TrustRung.HARVESTED),
    ]


async def test_the_certificate_of_a_connector_decides(configuration: Configuration) -> None:
    async with open_directory(configuration) as directory:
        answer = await directory.lookup(mailbox())
    assert answer.chosen is not None
    assert (answer.chosen.source, answer.chosen.place) == (
        "connector",
        str(Path(configuration.path).parent / "bob.pem"),
    )
    assert [source.word for source in answer.sources[1:]] == ["not asked"] * 6


async def test_without_anchors_nobody_is_believed(configuration: Configuration) -> None:
    trust = replace(configuration.directory.trust, anchors=None)
    bare = replace(configuration, directory=replace(configuration.directory, trust=trust))
    for known, fault in ((bare, PathFault.UNTRUSTED), (configuration, PathFault.NONE)):
        verdict = await certificate_judge(known, FakeResolver).judge(der(), (), "sign", EPOCH)
        assert verdict.fault == fault


async def test_a_reload_that_says_nothing_else_keeps_what_was_cached(
    configuration: Configuration, log: EventLog
) -> None:
    site = make_site(alone(configuration), log)
    directory, judge = site.directory, site.judge
    take_over(site, alone(replace(configuration, digest="another")))
    assert (site.directory, site.judge) == (directory, judge)
    empty = replace(configuration, directory=type(configuration.directory)())
    take_over(site, alone(empty))
    assert isinstance(site.directory, NoDirectory)
    await directory.close()


def test_its_files_are_nobody_else_s(configuration: Configuration) -> None:
    folder = files_folder(configuration)
    assert folder == Path(configuration.path).parent / "var" / "queue" / "directory"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
