"""The public test suite of RFC 7208 (openspf, 2014.04), every case of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
import yaml

from mta.model.address import Mailbox
from mta.rfc.spf.check import SpfQuery, check_mail_from
from tests.support.corpora import corpus
from tests.support.fake_resolver import TIMEOUT, FakeResolver

CASES = 203


@lru_cache(maxsize=1)
def _documents() -> tuple[dict[str, Any], ...]:
    text = (corpus("spf") / "rfc7208-tests.yml").read_text(encoding="latin-1")
    return tuple(document for document in yaml.safe_load_all(text) if document)


def _zone(zonedata: dict[str, list[Any]]) -> dict[tuple[str, str], Any]:
    """The suite's zone as records. SPF stands for TXT, unless TXT is given; TIMEOUT is for all other types."""
    zone: dict[tuple[str, str], Any] = {}
    for name, entries in zonedata.items():
        if "TIMEOUT" in entries:
            zone |= {(name, rdtype): TIMEOUT for rdtype in ("TXT", "A", "AAAA", "MX", "PTR")}
        pairs = [pair for entry in entries if entry != "TIMEOUT" for pair in entry.items()]
        if "TXT" not in dict(pairs):
            pairs += [("TXT", value) for rdtype, value in pairs if rdtype == "SPF"]
        for rdtype in {rdtype for rdtype, value in pairs if value != "NONE"}:
            zone[name, rdtype] = [_record(rdtype, value) for other, value in pairs if other == rdtype]
            if (rdtype, "TIMEOUT") in pairs:
                zone[name, rdtype] = TIMEOUT
    return zone


def _record(rdtype: str, value: Any) -> str | bytes:
    if rdtype == "MX":
        return f"{value[0]} {value[1] or '.'}"
    if rdtype in ("TXT", "SPF"):
        return ("".join(value) if isinstance(value, list) else value).encode("latin-1")
    return str(value)


def _sender(mail_from: str) -> Mailbox | None:
    local, _, domain = mail_from.rpartition("@")
    return Mailbox(local, domain, domain.lower()) if mail_from else None


@pytest.mark.parametrize("section", range(16))
async def test_the_suite_of_rfc_7208(section: int) -> None:
    """Each case of a section comes to one of the results that the suite allows."""
    document = _documents()[section]
    wrong = []
    for name, case in document["tests"].items():
        resolver = FakeResolver(_zone(document["zonedata"]))
        query = SpfQuery(case["host"], case["helo"], _sender(case["mailfrom"] or ""), "unknown")
        outcome = await check_mail_from(query, resolver)
        wanted = case["result"] if isinstance(case["result"], list) else [case["result"]]
        said = case.get("explanation", outcome.explanation)
        if outcome.result.value not in wanted or outcome.explanation != ("" if said == "DEFAULT" else said):
            wrong.append((name, case["result"], outcome, said))
    assert not wrong


def test_the_suite_is_whole() -> None:
    """All its cases are run."""
    assert sum(len(document["tests"]) for document in _documents()) == CASES
