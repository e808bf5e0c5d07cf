"""Certificates in DNS: which records count, and what they are worth."""

from __future__ import annotations

from typing import Any

import pytest

from mta.adapters.directory import dns as module
from mta.adapters.directory.dns import CertSource, SmimeaSource
from mta.model.directory import SourceStatus, TrustRung
from mta.rfc.smimea.name import smimea_names
from tests.support.fake_resolver import TEMPORARY, FakeResolver
from tests.support.people import BOB, der, mailbox
from tests.support.pki import authority

ONE, TWO, CA = der(), der(kind="ec-p384"), authority("People CA").der
(NAME,) = smimea_names(mailbox())


def smimea(records: Any, *, secure: bool = True, name: str = NAME) -> SmimeaSource:
    resolver = FakeResolver({(name, "SMIMEA"): records}, secure=secure)
    return SmimeaSource(lambda: resolver)


@pytest.mark.parametrize(("usage", "rung", "stated"), [(3, TrustRung.SECURE_DNS, True), (1, TrustRung.ANCHORED, False)])
async def test_a_whole_certificate(usage: int, rung: TrustRung, stated: bool) -> None:
    answer = await smimea([f"{usage} 0 0 {ONE.hex()}"]).find(mailbox())
    (found,) = answer.candidates
    assert (found.der, found.rung, found.stated, found.place) == (ONE, rung, stated, NAME)


async def test_digests_and_authorities_vouch_for_others() -> None:
    records = [f"3 0 1 {'ab' * 32}", f"3 1 2 {'cd' * 64}", f"2 0 0 {CA.hex()}", f"0 0 0 {CA.hex()}"]
    answer = await smimea(records).find(mailbox())
    assert (answer.status, answer.candidates) == (SourceStatus.FOUND, ())
    assert [(one.usage, one.selector, one.matching) for one in answer.associations] == [(3, 0, 1), (3, 1, 2), (2, 0, 0)]


async def test_records_that_cannot_be_used_are_noted() -> None:
    answer = await smimea(["9 0 0 00", f"3 0 1 {'ab' * 3}", f"3 0 0 {ONE.hex()}"]).find(mailbox())
    assert [one.der for one in answer.candidates] == [ONE]
    assert [note.partition(": ")[2] for note in answer.notes] == [
        "its usage 9 is unknown",
        "a digest of 3 octets is none",
    ]


async def test_what_is_not_proven_is_not_there() -> None:
    answer = await smimea([f"3 0 0 {ONE.hex()}"], secure=False).find(mailbox())
    assert (answer.status, answer.candidates, answer.associations) == (SourceStatus.NONE, (), ())
    assert "not proven by DNSSEC" in answer.notes[0]


async def test_small_letters_are_asked_for_after_the_spelling_of_the_address() -> None:
    written, small = smimea_names(mailbox("Bob@fabrikam.example"))
    assert small == NAME
    for name in (written, small):
        answer = await smimea([f"3 0 0 {ONE.hex()}"], name=name).find(mailbox("Bob@fabrikam.example"))
        assert [one.place for one in answer.candidates] == [name]
    assert (await smimea(TEMPORARY, name=small).find(mailbox("Bob@fabrikam.example"))).status is SourceStatus.DOWN


async def test_too_many_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RECORDS", 2)
    answer = await smimea([f"3 0 0 {one.hex()}" for one in (ONE, TWO, CA)]).find(mailbox())
    assert [one.der for one in answer.candidates] == [ONE, TWO]
    assert "more than 2 records" in answer.notes[0]


@pytest.mark.parametrize("address", ["bob@[192.0.2.1]", "bob@[ipv6:2001:db8::1]"])
async def test_an_address_literal_has_no_records(address: str) -> None:
    resolver = FakeResolver()
    for source in (SmimeaSource(lambda: resolver), CertSource(lambda: resolver)):
        assert (await source.find(mailbox(address))).status is SourceStatus.NONE
    assert resolver.asked == 0


@pytest.mark.parametrize(("secure", "rung"), [(True, TrustRung.SECURE_DNS), (False, TrustRung.ANCHORED)])
async def test_cert_records_of_the_mailbox_and_of_its_domain(secure: bool, rung: TrustRung) -> None:
    zone = {("bob.fabrikam.example", "CERT"): [ONE, CA], ("fabrikam.example", "CERT"): [TWO]}
    resolver = FakeResolver(zone, secure=secure)
    answer = await CertSource(lambda: resolver).find(mailbox())
    assert [(one.der, one.found_for, one.rung) for one in answer.candidates] == [
        (ONE, BOB, rung),
        (CA, BOB, rung),
        (TWO, "@fabrikam.example", rung),
    ]
    assert answer.candidates[0].chain == (CA,)
    resolver.set("fabrikam.example", "CERT", TEMPORARY)
    assert (await CertSource(lambda: resolver).find(mailbox())).status is SourceStatus.DOWN


async def test_a_local_part_that_is_no_label_leaves_the_domain() -> None:
    resolver = FakeResolver({("fabrikam.example", "CERT"): [TWO]})
    (found,) = (await CertSource(lambda: resolver).find(mailbox("jörg@fabrikam.example"))).candidates
    assert found.found_for == "@fabrikam.example"


async def test_a_reload_brings_another_resolver() -> None:
    resolvers = [FakeResolver(secure=True)]
    source = SmimeaSource(lambda: resolvers[-1])
    assert (await source.find(mailbox())).status is SourceStatus.NONE
    resolvers.append(FakeResolver({(NAME, "SMIMEA"): [f"3 0 0 {ONE.hex()}"]}, secure=True))
    assert (await source.find(mailbox())).status is SourceStatus.FOUND
