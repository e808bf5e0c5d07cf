"""`mta certs list`: the most urgent first, and no for an answer when something ends soon."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from mta.adapters.seen_file import SeenFile
from mta.cli.certs import certs_list
from mta.model.seen import Memory, Seen
from tests.support.pki import NOW, Authority

CA = Authority("Certs Root", not_after=NOW + timedelta(days=400, hours=1))
THEIRS = CA.issue(dns_names=["mail.fabrikam.example"], not_after=NOW + timedelta(days=30, hours=1))
OTHER_PIN = "cert-sha256:" + "0" * 64


@pytest.fixture
def config(tmp_path: Path) -> str:
    CA.issue(dns_names=["mx.contoso.example"], not_after=NOW + timedelta(days=20, hours=1)).write(tmp_path, "own")
    CA.write(tmp_path / "ca.pem")
    (tmp_path / "q").mkdir()
    seen = Seen(
        at=NOW.timestamp(),
        ok=True,
        subject="CN=mail.fabrikam.example",
        issuer="CN=Certs Root",
        names=("mail.fabrikam.example",),
        sha256=THEIRS.cert_pin.partition(":")[2],
        spki_sha256=THEIRS.spki_pin.partition(":")[2],
        not_after=THEIRS.certificate.not_valid_after_utc.timestamp(),
    )
    SeenFile(tmp_path / "q").write(Memory(hosts={"fabrikam/mail.fabrikam.example:25": seen}))
    path = tmp_path / "connectors.yaml"
    path.write_text(
        "server:\n  hostname: mx.contoso.example\n  certificate: {chain: own.pem, key: own.key}\n"
        "  queue: {store: sqlite:q}\n"
        "connectors:\n  fabrikam:\n    domains: [fabrikam.example]\n    inbound: {identity: none}\n"
        f'    outbound: {{tls: {{ca: ca.pem, pins: ["{THEIRS.spki_pin}", "{OTHER_PIN}"]}}}}\n'
    )
    return str(path)


def listed(config: str, days: int, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict]:
    code = certs_list(config, days, True)
    return code, json.loads(capsys.readouterr().out)


def test_the_most_urgent_comes_first_and_a_pin_is_known_by_whom_it_was_seen(config, capsys):
    code, document = listed(config, 14, capsys)
    assert (code, document["ok"]) == (0, True)
    rows = [(row["kind"], row["days_left"]) for row in document["certificates"]]
    assert rows == [("own", 20), ("pin", 30), ("partner", 30), ("ca", 400), ("pin", None)]
    by_kind = {row["kind"]: row for row in document["certificates"][:4]}
    assert by_kind["pin"]["detail"] == "CN=mail.fabrikam.example of fabrikam/mail.fabrikam.example:25"
    assert by_kind["partner"]["where"] == "fabrikam/mail.fabrikam.example:25"


@pytest.mark.parametrize(("days", "code"), [(20, 0), (21, 1), (500, 1)])
def test_the_answer_is_no_when_something_ends_sooner(config, capsys, days, code):
    assert listed(config, days, capsys)[0] == code


def test_a_person_reads_days_kinds_and_names(config, capsys):
    assert certs_list(config, 14, False) == 0
    text = capsys.readouterr().out
    assert re.search(r"20 days +own +CN=mx\.contoso\.example", text)
    assert f"no end  pin     {OTHER_PIN} (whose it is was not seen yet)" in text
