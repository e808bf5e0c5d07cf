"""Our vectors for RFC 9989: tests/vectors/dmarc."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mta.model.address import Mailbox
from mta.model.auth import AuthResult, DkimOutcome, SpfOutcome
from mta.model.author import FromField
from mta.rfc.dmarc.check import check
from tests.support.fake_resolver import TEMPORARY, FakeResolver

FOLDER = Path(__file__).resolve().parents[3] / "vectors" / "dmarc"
CASES = [case for path in sorted(FOLDER.glob("*.yml")) for case in yaml.safe_load(path.read_text())]


def resolver_of(case: dict[str, Any]) -> FakeResolver:
    resolver = FakeResolver()
    for domain, records in case["dns"].items():
        resolver.set(domain if "_dmarc" in domain else f"_dmarc.{domain}", "TXT", records)
    for domain in case.get("exist", ()):
        resolver.set(domain, "A", ["192.0.2.1"])
    for domain in case.get("unknown", ()):
        resolver.set(domain, "A", TEMPORARY)
    return resolver


def outcomes_of(case: dict[str, Any]) -> tuple[SpfOutcome, tuple[DkimOutcome, ...]]:
    spf = SpfOutcome(AuthResult.FAIL, "elsewhere.example")
    for key, result in (("spf", AuthResult.PASS), ("spf_temperror", AuthResult.TEMPERROR)):
        spf = SpfOutcome(result, case[key]) if key in case else spf
    dkim = [DkimOutcome(AuthResult.PASS, domain) for domain in case.get("dkim", ())]
    dkim += [DkimOutcome(AuthResult.TEMPERROR, domain) for domain in case.get("dkim_temperror", ())]
    return spf, (DkimOutcome(AuthResult.FAIL, case["from"]), *dkim)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
async def test_the_vectors(case: dict[str, Any]) -> None:
    resolver = resolver_of(case)
    author = Mailbox("a", case["from"], case["from"])
    outcome = await check(FromField((author,), 1), *outcomes_of(case), resolver)
    seen = {name: getattr(outcome, name) for name in case["want"]} | {"result": outcome.result.value}
    assert seen == case["want"], outcome.reason
    assert case.get("other") != case["want"]
    assert outcome.domain == case["from"]
    assert outcome.reason
    asked = [name.removeprefix("_dmarc.") for name, rdtype in resolver.queries.elements() if rdtype == "TXT"]
    assert len(asked) <= 8 * (2 + len(outcomes_of(case)[1]))
    if "queries" in case:
        assert sorted(asked) == sorted(case["queries"])
