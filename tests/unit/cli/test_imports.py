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
    assert set(document) == {"yaml", "differences", "counts", "problems", "warnings"}
    assert document["counts"] == {"contracts": 1, "differences": 3, "weaker": 0, "accepted": 0}
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


def test_what_is_weaker_is_an_error_until_somebody_says_that_it_may_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "tls_policy"
    policy.write_text("p.example fingerprint match=md5:aa\nq.example paranoid\n")
    assert from_postfix([str(policy)], NOWHERE, json_output=False) == 1
    printed = capsys.readouterr()
    [first, second] = [line for line in printed.err.splitlines() if line.startswith("weaker than it was")]
    assert printed.err.splitlines()[-1] == (
        "mta: 2 contracts, 5 differences, 2 of them weaker than before, 0 of these accepted;"
        " look at each, then say --accept ID for those that may be so, or --accept all"
    )
    ids = [line.partition("(")[2].partition(")")[0] for line in (first, second)]
    assert f"! WEAKER ({ids[0]}): p.example: no fingerprint" in printed.out
    assert from_postfix([str(policy)], NOWHERE, False, ids[:1]) == 1
    printed = capsys.readouterr()
    assert f"({ids[0]})" not in printed.err
    assert "accepted as weaker: p.example: no fingerprint" in printed.out
    assert from_postfix([str(policy)], NOWHERE, False, ids) == 0
    assert from_postfix([str(policy)], NOWHERE, True, ["all"]) == 0
    printed = capsys.readouterr()
    assert "2 of these accepted" in printed.err
    with pytest.raises(UsageError, match="nothing weaker is called w0"):
        from_postfix([str(policy)], NOWHERE, False, ["w0"])
