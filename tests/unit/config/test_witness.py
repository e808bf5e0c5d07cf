"""The witnesses of our log: partners that say where they are asked, each once, believed by a witness's key."""

from __future__ import annotations

from pathlib import Path

import pytest

from mta.rfc.tlog.note import KeyType, VerifierKey
from tests.unit.config.support import built, examined, lines

KEY = str(VerifierKey("portal.fabrikam.example/log/witness", b"k" * 32, KeyType.COSIGNATURE))
OTHER = str(VerifierKey("w.tailspin.example", b"t" * 32, KeyType.COSIGNATURE))
LOG = str(VerifierKey("portal.fabrikam.example/log", b"k" * 32))
URL = "https://portal.fabrikam.example/log"
TEXT = """
server: {{hostname: mx.contoso.example}}
protection: {{log: {{witnesses: [{names}]}}}}
connectors:
  fabrikam: {{witness: {{url: "{url}", key: "{key}"}}}}
{more}"""


def text(names: str = "fabrikam", url: str = URL, key: str = KEY, more: str = "") -> str:
    return TEXT.format(names=names, url=url, key=key, more=more)


def test_a_partner_that_only_witnesses_is_a_connector():
    [witness] = built(text(url=f"{URL}/")).protection.witnesses  # type: ignore[union-attr]
    assert (witness.name, witness.url, str(witness.key), witness.ca) == ("fabrikam", URL, KEY, None)


WRONG = [
    ({"names": "fabricam"}, "there is no connector fabricam"),
    ({"key": LOG}, "is the key of a log, not of a witness"),
    ({"key": KEY.replace("+", "+0", 1)}, "the id is not that of the key"),
    ({"key": "fabrikam"}, "is no key of a log or witness"),
    ({"url": "http://portal.fabrikam.example/log"}, "in clear"),
    ({"url": "portal.fabrikam.example/log"}, "is not the URL"),
    ({"url": f"{URL}?a=b"}, "has a query"),
    (
        {"names": "fabrikam, second", "more": f'  second: {{witness: {{url: "{URL}", key: "{KEY}"}}}}\n'},
        "second is the witness that fabrikam is already",
    ),
]


@pytest.mark.parametrize(("change", "told"), WRONG, ids=range(len(WRONG)))
def test_what_cannot_be_meant_is_told(change: dict[str, str], told: str):
    assert any(told in line for line in lines(examined(text(**change))))


def test_a_name_alone_is_no_witness_and_one_that_is_not_asked_is_none():
    alone = examined(
        "server: {hostname: a.example}\nprotection: {log: {witnesses: [fabrikam]}}\n"
        "connectors: {fabrikam: {domains: [fabrikam.example], inbound: {identity: none}}}"
    )
    assert alone.configuration
    assert any("nothing says where fabrikam is asked" in warning.message for warning in alone.warnings)
    more = (
        f'  second: {{domains: [b.example], inbound: {{identity: none}}, witness: {{url: "{URL}", key: "{OTHER}"}}}}\n'
    )
    unasked = examined(text(more=more))
    assert any("a witness that our log does not ask" in warning.message for warning in unasked.warnings)


def test_the_ca_of_a_witness_stops_no_mail(tmp_path: Path):
    keys = f'witness: {{url: "{URL}", key: "{KEY}", ca: gone.pem}}'
    found = examined(text().replace(f'witness: {{url: "{URL}", key: "{KEY}"}}', keys), tmp_path)
    assert any("gone.pem" in line for line in lines(found))
    assert found.configuration
    fabrikam = found.configuration.connectors["fabrikam"]
    assert (fabrikam.inbound.broken, fabrikam.outbound.broken) == ("", "")
