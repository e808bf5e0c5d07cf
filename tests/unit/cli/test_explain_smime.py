"""`mta explain` names the certificate that mail would be encrypted to, and why no other."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mta.cli.explain import ExplainOptions, explain
from tests.support.people import BOB, NOW, der, pem

YAML = """
server: {hostname: mx.contoso.example}
connectors:
  internal: {relay: true, inbound: {networks: [10.0.0.0/8]}}
  fabrikam:
    domains: [fabrikam.example]
    inbound: {identity: none}
    outbound: {smime: {encrypt: required, without_certificate: hold}}
  wingtip:
    domains: [wingtip.example]
    inbound: {identity: none}
directory: {sources: [{type: folder, path: recipients}]}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "recipients").mkdir()
    (tmp_path / "connectors.yaml").write_text(YAML)
    return tmp_path / "connectors.yaml"


def ask(config: Path, *recipients: str, json_output: bool = True) -> int:
    options = ExplainOptions(
        config=str(config),
        sender="alice@contoso.example",
        recipients=recipients,
        client_ip="10.0.0.1",
        json_output=json_output,
    )
    return explain(options)


def recipients(config: Path, capsys: pytest.CaptureFixture[str], *addresses: str) -> list[dict[str, Any]]:
    ask(config, *addresses)
    found: list[dict[str, Any]] = [each["smime"] for each in json.loads(capsys.readouterr().out)["recipients"]]
    return found


def test_an_audited_connector_promises_what_default_does_and_says_what_it_would(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text(YAML.replace("domains: [fabrikam.example]", "mode: audit\n    domains: [fabrikam.example]"))
    [bob] = recipients(config, capsys, BOB)
    would = {"sign": "never", "encrypt": "required", "profile": "default", "without_certificate": "hold"}
    assert bob == {"sign": "never", "encrypt": "never", "would": would}


def test_who_gets_what(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = der(begins=NOW - timedelta(9), ends=NOW - timedelta(1))
    (config.parent / "recipients" / "a.pem").write_bytes(pem(der()))
    (config.parent / "recipients" / "b.pem").write_bytes(pem(old))
    bob, other, nobody = recipients(config, capsys, BOB, "x@wingtip.example", "nobody@fabrikam.example")
    assert (bob["encrypt"], bob["without_certificate"], bob["profile"]) == ("required", "hold", "default")
    assert (bob["status"], bob["certificate"]["place"]) == ("found", "a.pem")
    assert [one["reason"].partition(":")[0] for one in bob["others"]] == ["expired"]
    assert other == {"sign": "never", "encrypt": "never"}
    assert (nobody["status"], nobody["certificate"]) == ("none", None)


def test_the_same_in_words(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (config.parent / "recipients" / "a.pem").write_bytes(pem(der()))
    ask(config, BOB, "x@wingtip.example", "nobody@fabrikam.example", json_output=False)
    words = capsys.readouterr().out
    assert (
        "  smime       sign never, encrypt required, profile default\n  copy        encrypted\n  certificate CN=Bob "
        in words
    )
    assert ", of folder (manual)\n" in words
    assert "  certificate none: no source knows a certificate" in words
    assert words.count("  smime  ") == 2
    assert "  because     smime-no-certificate: encryption is demanded" in words
