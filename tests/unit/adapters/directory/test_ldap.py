"""LDAP: what is asked, whom the server must prove to be, and what its troubles come to."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates

from mta.adapters.directory.ldap import LdapSource, search_filter
from mta.adapters.directory.ldap_connection import LdapSettings
from mta.model.directory import SourceAnswer, SourceStatus, TrustRung
from mta.rfc.smime.profile import PROFILES
from mta.rfc.smime.sign import SigningIdentity, prepare_signer, signed_data
from tests.support.patience import PATIENCE, patient
from tests.support.people import BOB, EPOCH, der, key, mailbox
from tests.support.pki import authority
from tests.support.programs import needs
from tests.support.slapd import ADMIN, PASSWORD, Slapd, slapd

SETTINGS = LdapSettings("ldap.x.example", 636, "ldaps", "dc=x", addresses=("mail",))
peer = [pytest.mark.peer, needs("slapd")]


@pytest.mark.parametrize(
    ("address", "term"),
    [
        ("bob@x.example", "(mail=bob@x.example)"),
        ("*@x.example", r"(mail=\2a@x.example)"),
        ('"a)(mail=*"@x.example', r"(mail=a\29\28mail=\2a@x.example)"),
        ("jörg@bücher.example", "(mail=jörg@xn--bcher-kva.example)"),
        ("jörg@bücher.example", "(mail=jörg@bücher.example)"),
        ("joe@xn--bcher-kva.example", "(mail=joe@bücher.example)"),
        ("joe@[192.0.2.1]", "(mail=joe@[192.0.2.1])"),
        ("bob@x.example", "(mail=smtp:bob@x.example)"),
        ("bob@x.example", "(mail=@x.example)"),
    ],
)
def test_the_filter_holds_addresses_and_never_more(address: str, term: str) -> None:
    wanted = search_filter(SETTINGS, mailbox(address))
    assert term in wanted
    assert wanted.count("(") == wanted.count(")")
    assert wanted.startswith("(|(mail=")


def test_a_further_condition_must_hold_as_well() -> None:
    wanted = search_filter(replace(SETTINGS, object_filter="(sn=*)"), mailbox())
    assert wanted.startswith("(&(sn=*)(|(mail=")


async def test_an_entry_that_is_found_by_likeness_lends_no_address() -> None:
    """Servers compare as RFC 4518 has it, and to it strasse is straße."""
    source = LdapSource(replace(SETTINGS, certificates=("userCertificate",)))
    entry = {
        "dn": "cn=x",
        "raw_attributes": {"mail": [b"strasse@x.example"], "userCertificate": [der()]},
    }
    aliases = {
        address: [one.aliases for one in source._candidates(entry, mailbox(address), [])]
        for address in ("straße@x.example", "Strasse@x.example")
    }
    await source.close()
    assert aliases == {"straße@x.example": [()], "Strasse@x.example": [("strasse@x.example",)]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with slapd(tmp_path_factory.mktemp("slapd")) as running:
        yield running


async def ask(settings: LdapSettings, address: str = BOB) -> SourceAnswer:
    source = LdapSource(settings)
    try:
        return await asyncio.wait_for(source.find(mailbox(address)), PATIENCE)
    finally:
        await source.close()


class TestRealServer:
    pytestmark = peer

    @pytest.mark.parametrize("tls", ["ldaps", "starttls", "none"])
    async def test_certificates_of_both_attributes_with_their_chain(self, server: Slapd, tls: str) -> None:
        one, two, ca = der(), der(kind="ec-p384"), authority("People CA").der
        bag = serialize_certificates([x509.load_der_x509_certificate(each) for each in (two, one, ca)], Encoding.DER)
        address = f"{tls}@fabrikam.example"
        name = server.add(address, "Other@fabrikam.example", certificates=(one,), smime=(bag, b"\x30\x00"))
        answer = await ask(server.settings(tls), address)
        assert {found.der for found in answer.candidates} == {one, two}
        assert len(answer.candidates) == 2  # each once, though one is in both
        for found in answer.candidates:
            assert (found.chain, found.place, found.rung) == ((ca,), name, TrustRung.ANCHORED)
            assert found.aliases == (address, "Other@fabrikam.example")
        assert len(answer.notes) == 1
        assert "userSMIMECertificate;binary" in answer.notes[0]

    async def test_what_its_owner_can_read_is_told_with_a_certificate(self, server: Slapd) -> None:
        one = der(issuer=authority("People CA"))
        signer = prepare_signer(SigningIdentity(one, (), key("ec-p256")), PROFILES["default"])
        for number, (content, detached) in enumerate(((b"", False), (b"", True), (b"x", True))):
            value = signed_data([signer], content, detached=detached, signing_time=EPOCH)
            address = f"able{number}@fabrikam.example"
            server.add(address, certificates=(one,), smime=(value,))
            (found,) = (await ask(server.settings(), address)).candidates
            assert found.der == one
            assert ("aes256-cbc" in found.capabilities) == (
                content == b""
            )  # a signature over something else says nothing

    async def test_an_entry_is_found_by_any_of_its_addresses(self, server: Slapd) -> None:
        server.add("chief@fabrikam.example", "second@fabrikam.example", certificates=(one := der(),))
        (found,) = (await ask(server.settings(), "second@fabrikam.example")).candidates
        assert (found.der, found.found_for) == (one, "second@fabrikam.example")

    async def test_with_a_password(self, server: Slapd) -> None:
        server.add("locked@fabrikam.example", certificates=(one := der(),))
        good = server.settings(user=ADMIN, password=PASSWORD)
        assert [each.der for each in (await ask(good, "locked@fabrikam.example")).candidates] == [one]
        answer = await ask(server.settings(user=ADMIN, password="wrong"))
        assert (answer.status, "invalidCredentials" in answer.detail) == (SourceStatus.DOWN, True)
        assert "wrong" not in answer.detail

    @pytest.mark.parametrize("tls", ["ldaps", "starttls"])
    async def test_a_server_that_proves_nothing_is_down(self, server: Slapd, tls: str) -> None:
        strangers = (authority("Stranger").der,)
        for settings in (
            server.settings(tls, anchors=strangers),
            server.settings(tls, anchors=()),  # the system's
            server.settings(tls, host="127.0.0.1"),  # another name than its certificate has
        ):
            answer = await ask(settings)
            assert (answer.status, "certificate verify failed" in answer.detail) == (SourceStatus.DOWN, True)

    async def test_a_base_that_is_not_there_is_no_answer(self, server: Slapd) -> None:
        answer = await ask(server.settings(base="dc=nowhere"))
        assert (answer.status, "noSuchObject" in answer.detail) == (SourceStatus.DOWN, True)

    async def test_it_is_asked_about_its_domains_only(self, server: Slapd) -> None:
        server.add("here@fabrikam.example", certificates=(der(),))
        limited = server.settings(domains=("fabrikam.example", "*.wingtip.example"))
        assert (await ask(limited, "here@fabrikam.example")).status is SourceStatus.FOUND
        answer = await ask(limited, "here@sub.fabrikam.example")
        assert (answer.status, answer.notes) == (SourceStatus.NONE, ("it is not asked about sub.fabrikam.example",))
        assert (await ask(limited, "here@a.wingtip.example")).notes == ()

    async def test_a_restarted_server_costs_nothing(self, server: Slapd) -> None:
        server.add("stays@fabrikam.example", certificates=(one := der(),))
        source = LdapSource(server.settings())
        for _ in range(5):  # every thread of the source has a connection
            await source.find(mailbox("stays@fabrikam.example"))
        server.stop()
        down = await asyncio.gather(*(source.find(mailbox("stays@fabrikam.example")) for _ in range(4)))
        assert {answer.status for answer in down} == {SourceStatus.DOWN}
        server.start()
        for _ in range(5):
            (found,) = (await source.find(mailbox("stays@fabrikam.example"))).candidates
            assert found.der == one
        await source.close()


@pytest.mark.parametrize("tls", ["ldaps", "starttls", "none"])
async def test_a_silent_server_has_its_time(tls: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = LdapSettings("127.0.0.1", silent.getsockname()[1], tls, "dc=x", timeout=0.3)
        before = time.monotonic()
        answer = await ask(settings)
    assert answer.status is SourceStatus.DOWN
    assert time.monotonic() - before < patient(6)


async def test_what_speaks_another_protocol_is_down() -> None:
    with socket.create_server(("127.0.0.1", 0)) as odd:
        settings = LdapSettings("127.0.0.1", odd.getsockname()[1], "none", "dc=x", timeout=1)
        task = asyncio.ensure_future(ask(settings))
        taken, _ = await asyncio.get_running_loop().run_in_executor(None, odd.accept)
        taken.sendall(b"220 mail.example ESMTP\r\n")
        taken.close()
        assert (await task).status is SourceStatus.DOWN
