"""`mta connectors import`: files as people have them, YAML that `mta check` takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mta.cli.imports import from_exchange, from_postfix
from mta.config.load import examine
from mta.errors import UsageError

OUTBOUND = {"Name": "Out", "Enabled": True, "RecipientDomains": ["a.example"], "TlsSettings": "EncryptionOnly"}
NOWHERE = "no-such.yaml"
INBOUND = {"Name": "In", "Enabled": True, "SenderDomains": ["a.example"], "RequireTls": False}


def test_what_is_printed_can_be_saved_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main = tmp_path / "main.cf"
    main.write_text("myhostname = mx.a.example\nsmtp_tls_policy_maps = hash:/etc/postfix/tls_policy\n")
    (tmp_path / "tls_policy").write_text("p.example secure\n")  # beside main.cf, as it was copied here
    assert from_postfix([str(main)], NOWHERE, json_output=False) == 0
    printed = capsys.readouterr()
    saved = tmp_path / "connectors.yaml"
    saved.write_text(printed.out)
    examination = examine(str(saved), now=0.0, cpus=1)
    assert examination.problems == ()
    assert examination.configuration is not None
    assert set(examination.configuration.connectors) == {"p.example", "default"}
    assert f"# made of {main}" in printed.out


def test_the_document_names_each_difference(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = tmp_path / "tls_policy"
    policy.write_text("p.example encrypt ciphers=high\n")
    assert from_postfix([str(policy)], NOWHERE, json_output=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document) == {"yaml", "differences", "problems", "warnings"}
    [told] = [found for found in document["differences"] if found["connector"]]
    assert (told["connector"], told["source"]) == ("p.example", "p.example")
    assert "ciphers=high" in told["text"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_two_cmdlets_may_write_into_one_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], encoding: str) -> None:
    file = tmp_path / "connectors.json"
    file.write_text(json.dumps([INBOUND]) + "\r\n" + json.dumps(OUTBOUND), encoding=encoding)
    assert from_exchange([str(file)], NOWHERE, json_output=True) == 0
    assert "domains: [a.example]" in json.loads(capsys.readouterr().out)["yaml"]


@pytest.mark.parametrize("text", ["", "[]", "nonsense", "[" * 100_000, '{"Name": "x"}'])
def test_what_is_no_export_is_said(tmp_path: Path, text: str) -> None:
    file = tmp_path / "connectors.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"no connector of Exchange|is no JSON|nested too deep"):
        from_exchange([str(file)], NOWHERE, json_output=False)


def test_what_check_would_refuse_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "connectors.json"
    mandatory = OUTBOUND | {"SmartHosts": ["192.0.2.1"], "SmtpDaneMode": "Mandatory"}
    file.write_text(json.dumps(mandatory))
    assert from_exchange([str(file)], NOWHERE, json_output=False) == 1
    assert "an IP address has no TLSA records" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        from_postfix([str(tmp_path / "gone")], NOWHERE, json_output=False)


def test_what_the_files_do_not_say_of_the_server_is_taken_from_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, policy = tmp_path / "connectors.yaml", tmp_path / "tls_policy"
    config.write_text("server: {hostname: mx.contoso.example}\n")
    policy.write_text("p.example secure\n")
    assert from_postfix([str(policy)], str(config), json_output=False) == 0
    assert "server: {hostname: mx.contoso.example}" in capsys.readouterr().out
