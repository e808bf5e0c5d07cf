"""`mta sts policy`: what is printed can be read by those it is for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mta.cli.main import app
from mta.cli.sts import PolicyOptions, policy
from mta.errors import UsageError
from mta.model.sts import StsPolicy
from mta.rfc.mtasts.parse import parse_policy, policy_id
from tests.support.pki import authority

NAME = "mx.contoso.example"


@pytest.fixture
def config(tmp_path: Path) -> str:
    chain, key = authority().issue(dns_names=[NAME]).write(tmp_path, "ours")
    text = f"""
server: {{hostname: {NAME}, certificate: {{chain: {chain}, key: {key}}}}}
domains:
  contoso.example: {{deliver_to: ["m.example"]}}
  bücher.example: {{deliver_to: ["m.example"]}}
"""
    path = tmp_path / "connectors.yaml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_each_domain_gets_a_policy_and_a_record(config: str) -> None:
    done = CliRunner().invoke(app, ["sts", "policy", "--json", "--config", config])
    assert done.exit_code == 0
    document = json.loads(done.stdout)
    assert [each["domain"] for each in document["policies"]] == ["contoso.example", "xn--bcher-kva.example"]
    for each in document["policies"]:
        assert parse_policy(each["policy"].encode()) == StsPolicy("testing", (NAME,), 604_800)
        assert each["policy"].endswith("\r\n")
        assert each["name"] == f"_mta-sts.{each['domain']}"
        assert policy_id([each["record"].encode()])
    assert done.stderr == ""


def test_the_id_changes_with_the_policy_alone(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    ids = []
    for mode in ("testing", "testing", "enforce"):
        policy(PolicyOptions(config, ("contoso.example",), mode), True)
        ids.append(json.loads(capsys.readouterr().out)["policies"][0]["record"])
    assert ids[0] == ids[1] != ids[2]


def test_the_words_for_people(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = PolicyOptions(config, ("Contoso.Example",), "enforce", (NAME, "*.backup.example"), 86_400)
    assert policy(options, False) == 0
    out = capsys.readouterr().out
    assert "https://mta-sts.contoso.example/.well-known/mta-sts.txt" in out
    assert "mode: enforce\nmx: mx.contoso.example\nmx: *.backup.example\nmax_age: 86400\n" in out
    assert '_mta-sts.contoso.example. IN TXT "v=STSv1; id=' in out


def test_a_host_that_our_certificate_does_not_name_is_doubted(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    policy(PolicyOptions(config, mx=(NAME, "other.example")), True)
    assert capsys.readouterr().err == (
        "mta: our certificate does not name other.example: nobody could deliver to it under this policy\n"
    )
    policy(PolicyOptions(config, mode="none", mx=("other.example",)), True)
    assert capsys.readouterr().err == ""


def test_without_a_certificate_it_would_keep_everybody_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"server: {{hostname: {NAME}}}\n")
    assert policy(PolicyOptions(str(path)), False) == 1  # no domains
    assert "we offer no TLS" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        {"domains": ("fabrikam.example",)},
        {"domains": ("..",)},
        {"mx": ("*",)},
        {"mx": ("192.0.2.1:25",)},
        {"max_age": -1},
        {"max_age": 99_999_999},
    ],
)
def test_nonsense_is_refused(config: str, options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        policy(PolicyOptions(config, **options), False)  # type: ignore[arg-type]
