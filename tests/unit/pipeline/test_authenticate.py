"""The authenticate step on messages in memory and in spool files."""

from __future__ import annotations

import threading
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from mta.contract.connectors import Connector
from mta.contract.inbound import Inbound
from mta.errors import StorageError
from mta.model.address import Mailbox
from mta.model.auth import AuthenticationFacts, AuthResult
from mta.model.message import Content
from mta.pipeline.authenticate import (
    Incoming,
    LookUps,
    authenticate,
    authenticate_message,
    readable,
    without_forgeries,
)
from mta.rfc.arc.seal import Sealing, seal
from mta.rfc.dkim.body import BodyHasher, body_hashes
from mta.rfc.dkim.canonicalize import Headers
from mta.rfc.dkim.sign import BODY
from mta.rfc.mime.from_ import parse_from
from mta.rfc.mime.header import scan_header
from tests.support.signatures import (
    DOMAIN,
    MESSAGE,
    NOW,
    auth_message,
    ed25519_signer,
    published,
    resolver_of,
    rsa_signer,
    signed,
)
from tests.support.smtp_server import FakeSpool

OURS = "mx.contoso.example"
FORGED = b"Authentication-Results: mx.contoso.example;\r\n dkim=pass\r\n"
OTHER = b"Authentication-Results: mx.elsewhere.example; none\r\n"


class Clock:
    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return 0.0


def spooled(folder: Path, raw: bytes) -> Content:
    """A message in a file, of which little more than the header is in memory."""
    path = folder / "spooled"
    path.write_bytes(raw)
    return Content(len(raw), path=str(path), head=raw[: raw.index(b"\r\n\r\n") + 6])


async def found(content: Content) -> AuthenticationFacts:
    block = scan_header(content.beginning, 1_000_000)
    incoming = Incoming(None, "", None, content, block, parse_from(block, 10_000))
    return await authenticate_message(incoming, LookUps(resolver_of(published()), Clock(), OURS))


async def test_a_spooled_message_is_hashed_from_its_file(tmp_path: Path) -> None:
    raw = signed(MESSAGE + b"x" * 70 * 40_000 + b"\r\n", rsa_signer(), ed25519_signer())
    for content in (spooled(tmp_path, raw), Content(len(raw), raw)):
        assert [outcome.result for outcome in (await found(content)).dkim] == [AuthResult.PASS] * 2
    broken = spooled(tmp_path, raw[:-3] + b"y\r\n")
    assert [outcome.result for outcome in (await found(broken)).dkim] == [AuthResult.FAIL] * 2


async def test_a_spool_file_that_is_gone_or_empty_is_a_storage_error(tmp_path: Path) -> None:
    content = spooled(tmp_path, signed(MESSAGE, rsa_signer()))
    Path(str(content.path)).write_bytes(b"")
    with pytest.raises(StorageError, match="cannot be read back"):
        await found(content)
    Path(str(content.path)).unlink()
    with pytest.raises(StorageError, match="cannot be read back"):
        await found(content)


def test_trouble_of_a_reader_is_not_the_files(tmp_path: Path) -> None:
    content = spooled(tmp_path, MESSAGE)
    with pytest.raises(TimeoutError), readable(content, scan_header(content.head, 1000)):
        raise TimeoutError


async def cleaned(content: Content, spool: FakeSpool) -> Content:
    return await without_forgeries(content, scan_header(content.beginning, 1_000_000), OURS, lambda: spool)


async def test_forged_fields_are_cut_out_in_memory() -> None:
    raw = FORGED + b"X: 1\r\n" + OTHER + FORGED + MESSAGE
    content = await cleaned(Content(len(raw), raw), FakeSpool())
    assert content.data == b"X: 1\r\n" + OTHER + MESSAGE
    assert content.size == len(content.data)


async def test_forged_fields_are_cut_out_of_a_spool(tmp_path: Path) -> None:
    spool, body = FakeSpool(), b"z" * 3_000_000 + b"\r\n"
    content = await cleaned(spooled(tmp_path, FORGED + OTHER + MESSAGE + body), spool)
    assert bytes(spool.data) == OTHER + MESSAGE + body
    assert (content.size, content.path) == (len(spool.data), "spooled")
    assert content.head.startswith(OTHER + b"From:")


@pytest.mark.parametrize(
    "forged",
    [
        b"Authentication-Results\x0b: mx.contoso.example; dkim=pass\r\n",
        b"Authentication-Results\r\n : mx.contoso.example; dkim=pass\r\n",
        b"\xa0Authentication-Results : mx.contoso.example; dkim=pass\r\n",
        b"X-MTA-SMIME\x00: good\r\n",
        b"X-MTA-\r\n\tSMIME: good\r\n",
        b"\xef\xbb\xbfx-mta-smime: good\r\n\x0b; signer=boss@contoso.example\r\n",
    ],
)
async def test_forged_fields_are_cut_out_however_their_names_are_written(forged: bytes) -> None:
    raw = OTHER + forged + MESSAGE
    assert (await cleaned(Content(len(raw), raw), FakeSpool())).data == OTHER + MESSAGE


@pytest.mark.parametrize("raw", [MESSAGE, OTHER + MESSAGE])
async def test_what_bears_no_forgery_is_left_alone(raw: bytes) -> None:
    content = Content(len(raw), raw)
    assert await cleaned(content, FakeSpool()) is content


async def test_a_spool_that_cannot_be_read_is_not_cut(tmp_path: Path) -> None:
    content = spooled(tmp_path, FORGED + MESSAGE)
    Path(str(content.path)).unlink()
    with pytest.raises(StorageError, match="cannot be read back"):
        await cleaned(content, FakeSpool())


async def test_each_contract_sees_the_source_that_its_gateway_saw() -> None:
    """SPF is judged at the true source only for the contract that trusts the gateway; the rest is looked up once."""
    gateway, source = ip_address("10.0.0.1"), "192.0.2.7"
    received = f"Received: from out.contoso.example ([{source}]) by gw.contoso.example; now\r\n".encode()
    raw = received + signed(MESSAGE, rsa_signer())
    block = scan_header(raw, 10_000)
    sender = Mailbox("anna", DOMAIN, DOMAIN)
    incoming = Incoming(gateway, "gw", sender, Content(len(raw), raw), block, parse_from(block, 100))
    resolver = resolver_of(published() | {DOMAIN: f"v=spf1 ip4:{source} -all".encode()})
    plain = Connector("plain")
    trusting = Connector("trusting", inbound=Inbound(trusted_hops=(ip_network("10.0.0.0/8"),)))
    for connectors in ((plain, trusting, plain), (trusting, plain, trusting)):
        resolver.queries.clear()
        seen = await authenticate(LookUps(resolver, Clock(), OURS), connectors, incoming)
        results = {
            connector.name: facts.spf_mail_from.result for connector, facts in zip(connectors, seen, strict=True)
        }
        assert results == {"plain": AuthResult.FAIL, "trusting": AuthResult.PASS}
        assert {facts.dkim[0].result for facts in seen} == {AuthResult.PASS}
        assert resolver.queries[f"r._domainkey.{DOMAIN}", "TXT"] == 1


async def test_a_spooled_body_that_only_a_seal_covers_is_not_read_on_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = MESSAGE + b"x" * 70 * 4_000 + b"\r\n"
    message = auth_message(raw)
    digest = body_hashes(message, [BODY])[BODY].digest
    sealing = Sealing(b"mx.lists.example; none", AuthResult.NONE)
    raw = seal(Headers(message.block), digest, rsa_signer(), sealing, NOW) + raw
    threads = set()
    real = BodyHasher.feed

    def feed(self: BodyHasher, piece: bytes) -> None:
        threads.add(threading.current_thread())
        real(self, piece)

    monkeypatch.setattr(BodyHasher, "feed", feed)
    facts = await found(spooled(tmp_path, raw))
    assert facts.arc is not None
    assert facts.arc.result is AuthResult.PASS
    assert threads
    assert threading.main_thread() not in threads
