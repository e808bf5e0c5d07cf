"""Who really sent it: verifying DKIM against dkimpy, signing, and the whole authenticate step, against the raw rate
of RSA-2048 in `cryptography`, all on one core.

Each case runs in turns with its peer, so that a busy machine hits both alike, and prints one JSON line; `ratio` is
ours divided by the peer's, more is better. DNS is answered from memory; in the whole step by the relay's own
resolver, which has seen the names before. That step costs at most 2.2 signatures, so its ratio is 0.455 at the least.

    python benchmarks/auth.py [--seconds 2] [--case verify-4k ...]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import dkim
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mta.adapters.dns import DnsResolver
from mta.contract.authentication import Authentication
from mta.contract.configuration import Configuration
from mta.contract.connectors import Connector
from mta.contract.inbound import Inbound
from mta.contract.index import ConnectorIndex
from mta.contract.server import Server
from mta.model.address import Mailbox
from mta.model.message import Content
from mta.pipeline.authenticate import Incoming, LookUps, authenticate, without_forgeries
from mta.policy.concerned import concerned, judge_all
from mta.policy.decision import Decision
from mta.policy.identify import Identity
from mta.ports import DnsStatus, TxtAnswer
from mta.rfc.authres.write import authentication_results
from mta.rfc.dkim.body import AuthMessage, body_hashes
from mta.rfc.dkim.canonicalize import Headers
from mta.rfc.dkim.check import check
from mta.rfc.dkim.sign import BODY, Signer, sign
from mta.rfc.mime.from_ import parse_from
from mta.rfc.mime.header import scan_header
from tests.support.dns_server import dns_server
from tests.support.signatures import local_signer

NOW = time.time()
DOMAIN, SELECTOR = "contoso.example", "s1"
STEPS = 50  # in one turn of the loop's `run_until_complete`, which is not the step's cost
HEADER = (
    b"Received: from mail.contoso.example (mail.contoso.example [192.0.2.1])\r\n"
    b"\tby mx.fabrikam.example with ESMTPS id 4f2a; Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    b"From: Anna Schmidt <anna@contoso.example>\r\nTo: Bernd Weber <bernd@fabrikam.example>\r\n"
    b"Subject: Quarterly figures and what follows from them\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"
    b"Message-ID: <20261123100000.1@contoso.example>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
)


@dataclass(frozen=True)
class Case:
    """Two ways to the same end."""

    name: str
    ours: Callable[[], object]
    peer: Callable[[], object]
    peer_name: str
    goal: float
    count: int = 1  # how often either call does it


class Published:
    """A resolver that knows one key."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.record = b"v=DKIM1; k=rsa; p=" + base64.b64encode(der)
        self.answer = TxtAnswer(DnsStatus.OK, (self.record,))

    async def txt(self, name: str) -> TxtAnswer:
        return self.answer


def body(size: int, spaced: bool) -> bytes:
    """Lines of words; `spaced`: with white space at every third line that the relaxed form takes out."""
    chance = random.Random(size)
    lines, length = [], 0
    while length < size:
        words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(2, 9))) for _ in range(11)]
        line = " ".join(words) + ("  and\tmore " if spaced and len(lines) % 3 == 0 else "") + "\r\n"
        lines.append(line.encode())
        length += len(line)
    return b"".join(lines)


def signed(raw: bytes, signer: Signer) -> bytes:
    block = scan_header(raw, 100_000)
    return sign(Headers(block), body_hashes(AuthMessage.in_memory(block), [BODY])[BODY].digest, signer, NOW)


def verification(name: str, raw: bytes, key: rsa.RSAPrivateKey, goal: float) -> Case:
    whole, published = signed(raw, local_signer(DOMAIN, SELECTOR, key)) + raw, Published(key)

    def ours() -> None:
        coroutine = check(AuthMessage.in_memory(scan_header(whole, 100_000)), published, NOW)
        try:
            coroutine.send(None)  # nothing is waited for: no event loop is needed
        except StopIteration as end:
            outcome = end.value[0]
        assert outcome.result.passed, outcome

    def peer() -> None:
        assert dkim.DKIM(whole).verify(0, dnsfunc=lambda name, timeout=5: published.record)

    return Case(name, ours, peer, "dkimpy", goal)


def signing(name: str, raw: bytes, key: rsa.RSAPrivateKey, goal: float) -> Case:
    signer, pkcs1, digest = local_signer(DOMAIN, SELECTOR, key), padding.PKCS1v15(), SHA256()
    return Case(name, lambda: signed(raw, signer), lambda: key.sign(raw[:256], pkcs1, digest), "raw RSA-2048", goal)


class RealClock:
    """The machine's."""

    def now(self) -> float:
        return NOW

    def monotonic(self) -> float:
        return time.monotonic()


class WholeStep:
    """The authenticate step of one message as the relay runs it, from the scanned header to the fields it adds."""

    def __init__(self, whole: bytes, resolver: Any) -> None:
        demands = Authentication(True, dkim="aligned", dmarc="enforce", on_failure="refuse")
        connector = Connector("contoso", domains=(DOMAIN,), inbound=Inbound(authentication=demands, identity="none"))
        default = Connector("default")
        server = Server("mx.fabrikam.example", "postmaster@fabrikam.example", "mx.fabrikam.example", ())
        self.index = ConnectorIndex(Configuration(server, {}, {"contoso": connector, "default": default}))
        self.identity = Identity(default)
        self.accepted = Decision("accept", "contoso")
        self.block = scan_header(whole, 100_000)
        self.content = Content(len(whole), whole)
        self.names = LookUps(resolver, RealClock(), "mx.fabrikam.example")
        self.client, self.sender = ip_address("192.0.2.1"), Mailbox("anna", DOMAIN, DOMAIN)

    async def run(self) -> tuple[Decision, bytes]:
        author = parse_from(self.block, 10_000)
        incoming = Incoming(self.client, f"mail.{DOMAIN}", self.sender, self.content, self.block, author)
        connectors = concerned(self.index, self.identity, "contoso", author)
        seen = await authenticate(self.names, connectors, incoming)
        judged = tuple(zip(connectors, seen, strict=True))
        decision = judge_all(self.index, judged, author, self.accepted)
        await without_forgeries(self.content, self.block, "mx.fabrikam.example", self._no_spool)
        fields = authentication_results("mx.fabrikam.example", seen[0], mail_from=str(self.sender), client="192.0.2.1")
        return decision, fields

    @staticmethod
    def _no_spool() -> Any:
        raise AssertionError("the message is in memory")


def whole_step(name: str, raw: bytes, key: rsa.RSAPrivateKey, goal: float, open_: contextlib.ExitStack) -> Case:
    """With the real resolver, at a real server, which stays up: records end while a busy machine measures."""
    pkcs1, digest, loop = padding.PKCS1v15(), SHA256(), asyncio.new_event_loop()
    record = Published(key).record.decode()
    zone = {
        (f"{SELECTOR}._domainkey.{DOMAIN}", "TXT"): [f'"{record[:200]}" "{record[200:]}"'],
        (DOMAIN, "TXT"): ['"v=spf1 mx ip4:198.51.100.0/24 -all"'],
        (DOMAIN, "MX"): [f"10 mail.{DOMAIN}."],
        (f"mail.{DOMAIN}", "A"): ["192.0.2.1"],
        (f"_dmarc.{DOMAIN}", "TXT"): [f'"v=DMARC1; p=reject; rua=mailto:reports@{DOMAIN}"'],
    }
    server = open_.enter_context(dns_server(zone))
    step = WholeStep(signed(raw, local_signer(DOMAIN, SELECTOR, key)) + raw, DnsResolver([tuple(server)]))
    decision, fields = loop.run_until_complete(step.run())
    assert decision.accepted, decision
    assert all(f"{method}=pass".encode() in fields for method in ("spf", "dkim", "dmarc")), fields

    async def many() -> None:
        for _ in range(STEPS):
            await step.run()

    def peer() -> None:
        for _ in range(STEPS):
            key.sign(raw[:256], pkcs1, digest)

    return Case(name, lambda: loop.run_until_complete(many()), peer, "raw RSA-2048", goal, STEPS)


def cases(open_: contextlib.ExitStack) -> list[Case]:
    key = rsa.generate_private_key(65537, 2048)
    small, large, spaced = (
        HEADER + body(size, odd) for size, odd in ((4096, False), (1 << 20, False), (1 << 20, True))
    )
    return [
        verification("verify-4k", small, key, 4),
        verification("verify-1m-canonical", large, key, 15),
        verification("verify-1m-spaced", spaced, key, 4),
        signing("sign-4k", small, key, 0.8),
        whole_step("authenticate-4k", small, key, 1 / 2.2, open_),
    ]


def measure(case: Case, seconds: float) -> dict[str, object]:
    """Both in turns of a tenth of the time; the median of the turns' rates."""
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(5):
        for call, found in zip((case.ours, case.peer), rates, strict=True):
            found.append(rate(call, seconds / 10))
    ours, peer = (sorted(found)[2] for found in rates)
    return {
        "benchmark": f"auth/{case.name}",
        "ours_per_second": round(ours * case.count, 1),
        "peer": case.peer_name,
        "peer_per_second": round(peer * case.count, 1),
        "ratio": round(ours / peer, 3),
        "goal": round(case.goal, 3),
    }


def rate(call: Callable[[], object], seconds: float) -> float:
    count, start = 0, time.process_time()
    while (used := time.process_time() - start) < seconds or not count:
        call()
        count += 1
    return count / used


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=2.0, help="for each case and each side of it")
    parser.add_argument("--case", action="append", help="only these")
    settings = parser.parse_args()
    with contextlib.ExitStack() as open_:
        for case in cases(open_):
            if not settings.case or case.name in settings.case:
                print(json.dumps(measure(case, 2 * settings.seconds)), flush=True)


if __name__ == "__main__":
    main()
