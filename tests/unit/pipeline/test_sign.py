"""The last of transform: mail of ours leaves signed, judged mail sealed, the same at every attempt."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mta.adapters.key_files import KeyFiles
from mta.contract.connectors import Connector
from mta.contract.dkim import DkimKey, SealingKey
from mta.contract.outbound import Outbound
from mta.errors import MtaError
from mta.model.attempt import Failure, Scope
from mta.model.auth import AuthResult
from mta.model.envelope import Envelope
from mta.model.message import Content, QueuedMessage
from mta.pipeline.deliver import Job
from mta.pipeline.sign import sign
from mta.pipeline.site import Contract
from mta.policy.route import Destination
from mta.ports import SigningKey
from mta.rfc.arc.check import check as check_arc
from mta.rfc.authres.parse import parse_results
from mta.rfc.mime.header import scan_header
from tests.support.patience import PATIENCE
from tests.support.signatures import DOMAIN, MESSAGE, NOW, auth_message, judged, pem, published, resolver_of, rsa_key
from tests.unit.policy.world import CONTOSO, SERVER, configuration, index

TRACE = b"Received: by mx.contoso.example; now\r\n"


def site(path: Path) -> Any:
    domains = (replace(CONTOSO, dkim=(DkimKey("r", str(path)),)),)
    contract = Contract(configuration(domains=domains), index(domains=domains), 1)
    return SimpleNamespace(contract=contract, keys=KeyFiles())


def job(content: Content) -> Job:
    message = QueuedMessage("1", Envelope(None), content, TRACE, NOW, "internal", ())
    return Job(message, (), Connector("world"), Destination("mx", "fabrikam.example"))


async def test_every_attempt_sends_the_same_bytes_from_memory_and_from_a_file(tmp_path: Path) -> None:
    key, body = tmp_path / "r.key", tmp_path / "spooled"
    key.write_bytes(pem(rsa_key()))
    body.write_bytes(MESSAGE)
    in_file = Content(len(MESSAGE), path=str(body), head=MESSAGE[: MESSAGE.index(b"\r\n\r\n") + 4])
    prefixes = set()
    for content in (Content(len(MESSAGE), MESSAGE), in_file):
        for _ in range(2):  # each with keys read anew, as after a restart
            sent = await sign(site(key), job(content))
            assert isinstance(sent, Job)
            prefixes.add(sent.message.prefix)
    [prefix] = prefixes
    assert prefix.startswith(b"DKIM-Signature:")
    assert prefix.endswith(TRACE)
    assert [outcome.result for outcome in await judged(prefix + MESSAGE)] == [AuthResult.PASS]


async def test_strangers_get_no_signature_of_ours(tmp_path: Path) -> None:
    """Whoever writes an address of ours into From has not become one of us."""
    (tmp_path / "r.key").write_bytes(pem(rsa_key()))
    ours = job(Content(len(MESSAGE), MESSAGE))
    for inbound in ("default", "gone-in-a-reload"):
        theirs = replace(ours, message=replace(ours.message, inbound=inbound))
        assert await sign(site(tmp_path / "r.key"), theirs) is theirs
    noticed = replace(ours, message=replace(ours.message, inbound="notice"))
    sent = await sign(site(tmp_path / "r.key"), noticed)
    assert isinstance(sent, Job)
    assert sent.message.prefix.startswith(b"DKIM-Signature:")


async def test_without_its_key_mail_waits_for_us(tmp_path: Path) -> None:
    failure = await sign(site(tmp_path / "gone.key"), job(Content(len(MESSAGE), MESSAGE)))
    assert isinstance(failure, Failure)
    assert (failure.permanent, failure.local, failure.scope) == (False, True, Scope.DESTINATION)
    assert "gone.key" in failure.reason
    assert str(failure.reply).startswith("451 4.3.0")


class Token:
    """A token whose key does `use` when it is to sign."""

    def __init__(self, use: Callable[[bytes], bytes]) -> None:
        self._key = SigningKey("rsa-sha256", use)

    def signing_key(self, path: str) -> SigningKey:
        assert path.startswith("pkcs11:")
        return self._key


def token_site(use: Callable[[bytes], bytes]) -> Any:
    here = site(Path("unused"))
    domains = (replace(CONTOSO, dkim=(DkimKey("r", "pkcs11:token=mta;object=dkim"),)),)
    here.contract = Contract(configuration(domains=domains), index(domains=domains), 1)
    here.keys = Token(use)
    return here


async def test_a_token_that_is_gone_when_it_is_to_sign_makes_the_mail_wait() -> None:
    def gone(_: bytes) -> bytes:
        raise MtaError("the token mta does not answer")

    failure = await sign(token_site(gone), job(Content(len(MESSAGE), MESSAGE)))
    assert isinstance(failure, Failure)
    assert (failure.permanent, failure.local) == (False, True)
    assert "the token mta does not answer" in failure.reason


async def test_a_token_that_hangs_stops_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mta.pipeline.sign.TOKEN_TIME", 0.05)
    released, turns = threading.Event(), 0

    def hangs(_: bytes) -> bytes:
        released.wait(PATIENCE)
        return b""

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    busy = asyncio.ensure_future(others())
    try:
        failure = await sign(token_site(hangs), job(Content(len(MESSAGE), MESSAGE)))
    finally:
        released.set()
        busy.cancel()
    assert isinstance(failure, Failure)
    assert "did not answer within" in failure.reason
    assert turns > 10


async def test_a_foreign_author_leaves_as_it_came(tmp_path: Path) -> None:
    raw = MESSAGE.replace(b"anna@contoso", b"anna@fabrikam")
    same = job(Content(len(raw), raw))
    assert await sign(site(tmp_path / "gone.key"), same) is same


RESULTS = b"Authentication-Results: mx.contoso.example; spf=fail;\r\n\tdkim=none\r\n"


def sealing_site(path: Path, *, signs: bool = False) -> Any:
    domains = (replace(CONTOSO, dkim=(DkimKey("r", str(path)),) if signs else ()),)
    server = replace(SERVER, arc=SealingKey(DOMAIN, DkimKey("r", str(path))))
    known = configuration(domains=domains, server=server)
    return SimpleNamespace(contract=Contract(known, index(domains=domains, server=server), 1), keys=KeyFiles())


def sealing_job(raw: bytes, chain: str, prefix: bytes = RESULTS + TRACE, inbound: str = "default") -> Job:
    evidence: dict[str, object] = {"authentication": {"arc": {"result": chain}}}
    message = QueuedMessage("1", Envelope(None), Content(len(raw), raw), prefix, NOW, inbound, (), evidence)
    return Job(message, (), Connector("cloud", outbound=Outbound(arc="seal")), Destination("mx", "cloud.example"))


async def leaving(site: Any, job: Job) -> bytes:
    sent = await sign(site, job)
    assert isinstance(sent, Job)
    assert sent.message.content is job.message.content
    return sent.message.prefix + (job.message.content.data or b"")


async def chain_of(raw: bytes) -> tuple[AuthResult, tuple[str, ...]]:
    found = await check_arc(auth_message(raw), resolver_of(published()), NOW)
    return found.result, found.sealers


async def test_judged_mail_leaves_under_a_seal_over_what_we_found(tmp_path: Path) -> None:
    (tmp_path / "r.key").write_bytes(pem(rsa_key()))
    site = sealing_site(tmp_path / "r.key")
    raw = MESSAGE.replace(b"anna@contoso", b"anna@fabrikam")
    once, again = [await leaving(site, sealing_job(raw, "none")) for _ in range(2)]
    assert once == again
    assert once.startswith(b"ARC-Seal:")
    assert once.endswith(RESULTS + TRACE + raw)
    [told] = scan_header(once, 10_000).values(b"arc-authentication-results")
    instance, _, value = told.partition(b";")
    assert instance.strip() == b"i=1"
    results = parse_results(value)
    assert results is not None
    assert [(one.method, one.result) for one in results.results] == [("spf", "fail"), ("dkim", "none")]
    assert await chain_of(once) == (AuthResult.PASS, (DOMAIN,))
    twice = await leaving(site, sealing_job(once, "pass"))
    assert await chain_of(twice) == (AuthResult.PASS, (DOMAIN, DOMAIN))
    altered = once.replace(b"all is well", b"all is lost")
    assert (await chain_of(altered))[0] is AuthResult.FAIL


async def test_the_seal_covers_our_own_signature(tmp_path: Path) -> None:
    (tmp_path / "r.key").write_bytes(pem(rsa_key()))
    sent = await leaving(sealing_site(tmp_path / "r.key", signs=True), sealing_job(MESSAGE, "none", inbound="internal"))
    assert [outcome.result for outcome in await judged(sent)] == [AuthResult.PASS]
    assert await chain_of(sent) == (AuthResult.PASS, (DOMAIN,))
    begin = sent.index(b"DKIM-Signature:")
    unsigned = sent[:begin] + sent[sent.index(b"Authentication-Results: mx", begin) :]
    assert (await chain_of(unsigned))[0] is AuthResult.FAIL


async def test_without_a_verdict_of_ours_in_front_there_is_nothing_to_seal(tmp_path: Path) -> None:
    (tmp_path / "r.key").write_bytes(pem(rsa_key()))
    job = sealing_job(MESSAGE, "none", TRACE)
    assert await sign(sealing_site(tmp_path / "r.key"), job) is job


async def test_a_seal_whose_key_is_gone_makes_the_mail_wait(tmp_path: Path) -> None:
    failure = await sign(sealing_site(tmp_path / "gone.key"), sealing_job(MESSAGE, "none"))
    assert isinstance(failure, Failure)
    assert not failure.permanent
