"""Fetching policies: what a policy host must be, and how little an odd one can do."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from mta.adapters.https_policy import HttpsPolicyFetcher
from mta.errors import PolicyNotFetched
from mta.rfc.mtasts.parse import MOST_OCTETS, parse_policy
from tests.support.fake_resolver import FakeResolver
from tests.support.pki import Authority, anchors, authority, self_signed
from tests.support.policy_host import HANG, POLICY, Answer, PolicyHost, policy_host

CA = authority("Policy CA")
NAMES = ["good.example", "other.example"]
ISSUED = CA.issue(dns_names=[f"mta-sts.{name}" for name in NAMES])


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PolicyHost]:
    with policy_host(ISSUED, tmp_path_factory.mktemp("policies")) as running:
        yield running


def fetcher(host: PolicyHost, *, ca: Authority = CA, patience: float = 5.0) -> HttpsPolicyFetcher:
    zone = {(f"mta-sts.{name}", "A"): ["127.0.0.1"] for name in (*NAMES, "unnamed.example")}
    return HttpsPolicyFetcher(FakeResolver(zone), anchors(ca), host.port, patience=patience)


async def test_a_policy_is_fetched(host: PolicyHost) -> None:
    host.policies["good.example"] = POLICY
    body = await fetcher(host).fetch("good.example")
    assert parse_policy(body).mx == ("mx.good.example",)
    assert host.sni[-1] == "mta-sts.good.example"
    assert host.requests[-1].startswith("GET /.well-known/mta-sts.txt HTTP/1.1\r\n")


@pytest.mark.parametrize("kind", ["text/plain", "text/plain; charset=utf-8", "TEXT/PLAIN"])
async def test_the_type_may_have_parameters(host: PolicyHost, kind: str) -> None:
    host.policies["good.example"] = Answer(type=kind)
    assert await fetcher(host).fetch("good.example")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer("", "404 Not Found"), "answered 404"),
        (Answer(status="301 Moved", headers={"Location": "https://mta-sts.other.example/"}), "answered 301"),
        (Answer(status="302 Found", headers={"Location": "/.well-known/elsewhere.txt"}), "answered 302"),
        (Answer(status="206 Partial Content"), "answered 206"),
        (Answer(type="text/html"), "of type 'text/html'"),
        (Answer(type="application/octet-stream"), "of type"),
        (Answer(b"x" * (MOST_OCTETS + 1)), "more than 65536 octets"),
        (Answer(b"x" * 60_000, endless=True), "more than 65536 octets"),
        (Answer(b"\x1f\x8b...", headers={"Content-Encoding": "gzip"}), "compressed"),
        (Answer(status="200 OK\r\nX: " + "y" * 70_000), "."),
        (Answer(status="nonsense"), "."),
        (HANG, "no answer within 0.5 s"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_a_bad_answer_is_a_failed_fetch(host: PolicyHost, answer: object, reason: str) -> None:
    host.policies["good.example"] = answer
    before = host.sent
    with pytest.raises(PolicyNotFetched, match=reason) as caught:
        await fetcher(host, patience=0.5 if answer is HANG else 5.0).fetch("good.example")
    assert caught.value.result == "sts-policy-fetch-error"
    assert host.sent - before < 10_000_000  # of the gigabyte little more travelled than fits into buffers


async def test_the_certificate_is_judged(host: PolicyHost) -> None:
    host.policies["unnamed.example"] = host.policies["good.example"] = POLICY
    for who, domain in ((CA, "unnamed.example"), (authority("Other CA"), "good.example")):
        with pytest.raises(PolicyNotFetched) as caught:
            await fetcher(host, ca=who).fetch(domain)
        assert caught.value.result == "sts-webpki-invalid"


@pytest.mark.parametrize("issued", [CA.issue_expired(dns_names=["mta-sts.good.example"]), self_signed()])
async def test_an_expired_or_self_signed_host_is_refused(issued, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with policy_host(issued, tmp_path) as other:
        other.policies["good.example"] = POLICY
        with pytest.raises(PolicyNotFetched) as caught:
            await fetcher(other).fetch("good.example")
    assert caught.value.result == "sts-webpki-invalid"


async def test_a_host_that_is_down_or_nowhere(host: PolicyHost) -> None:
    for domain in ("nowhere.example", "good.example"):
        resolver = FakeResolver({("mta-sts.good.example", "A"): ["127.0.0.1"]})
        with pytest.raises(PolicyNotFetched) as caught:
            await HttpsPolicyFetcher(resolver, anchors(CA), 1, patience=5.0).fetch(domain)
        assert caught.value.result == "sts-policy-fetch-error"
    assert "nowhere" not in host.asked


def test_aiohttp_is_not_loaded_before_it_is_needed() -> None:
    import subprocess

    code = "import sys, mta.adapters.https_policy; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "::1", "64:ff9b::7f00:1", "fec0::1", "::ffff:10.0.0.1"])
async def test_a_policy_host_that_leads_inside_is_not_asked(address: str) -> None:
    zone = FakeResolver({("mta-sts.good.example", "AAAA" if ":" in address else "A"): [address]})
    with pytest.raises(PolicyNotFetched, match="no public address"):
        await HttpsPolicyFetcher(zone, anchors(CA), patience=5.0).fetch("good.example")
