"""Whether the domain of a sender takes mail."""

from __future__ import annotations

import pytest

from mta.model.address import Mailbox
from mta.model.auth import AuthResult
from mta.rfc.nullmx.check import check
from tests.support.fake_resolver import TEMPORARY, TIMEOUT, FakeResolver

ZONE = {
    ("null.example", "MX"): ["0 ."],
    ("good.example", "MX"): ["10 mx.good.example."],
    ("odd.example", "MX"): ["0 .", "10 mx.odd.example."],
    ("bare.example", "A"): ["192.0.2.1"],
    ("broken.example", "MX"): TEMPORARY,
    ("slow.example", "MX"): TIMEOUT,
}


@pytest.mark.parametrize(
    ("domain", "result"),
    [
        ("null.example", AuthResult.FAIL),
        ("good.example", AuthResult.PASS),
        ("odd.example", AuthResult.PASS),  # a host beside the null MX, which must not be: mail can go there
        ("bare.example", AuthResult.PASS),
        ("nowhere.example", AuthResult.PASS),  # that it does not exist is another question
        ("broken.example", AuthResult.TEMPERROR),
        ("slow.example", AuthResult.TEMPERROR),
    ],
)
async def test_a_null_mx_says_that_nobody_answers(domain: str, result: AuthResult) -> None:
    outcome = await check(Mailbox("bob", domain, domain), FakeResolver(ZONE))
    assert (outcome.result, outcome.domain) == (result, domain)
    assert bool(outcome.reason) is (result is not AuthResult.PASS)


async def test_the_null_sender_has_no_domain() -> None:
    resolver = FakeResolver(ZONE)
    assert (await check(None, resolver)).result is AuthResult.NONE
    assert not resolver.asked
