"""`mta reports` without a relay: importing, listing, showing, and sending into a queue that waits."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from mta.cli.reports import send, show, show_list, take_in
from mta.errors import UsageError
from tests.support.corpora import corpus
from tests.unit.rfc.tlsrpt.test_report import compose_report

ID = "5264580628977113351"


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "connectors.yaml"
    path.write_text("server: {hostname: mx.contoso.example}\n")
    return str(path)


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_a_message_of_another_is_imported_listed_and_shown(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(corpus("mail-auth/dmarc-feedback") / "100.eml")
    assert take_in(config, file, True) == 0
    [report] = told(capsys)["reports"]
    assert (report["kind"], report["organization"], report["domain"]) == ("dmarc", "google.com", "stalw.art")
    assert report["sums"] == {"messages": 1, "passed": 1, "failed": 0}
    assert report["report"]["rows"][0]["dkim_results"][0]["selector"] == "velikisrpan22"

    assert show_list(config, True) == 0
    listed = told(capsys)
    assert [one["id"] for one in listed["received"]] == [ID]
    assert "report" not in listed["received"][0]
    assert show_list(config, False) == 0
    words = capsys.readouterr().out.splitlines()
    assert words[0].split() == ["DAY", "WHOSE", "KIND", "DOMAIN", "WITH", "SUMS", "STATE"]
    assert "not trusted: imported by hand" in words[1]

    assert show(config, "stalw.art", True) == 0
    assert told(capsys)["reports"][0]["id"] == ID
    assert show(config, ID, False) == 0
    assert "2a01:4f9:c011:b43c::1 none dkim=pass spf=pass from=stalw.art" in capsys.readouterr().out
    assert show(config, "elsewhere.example", False) == 1


@pytest.mark.parametrize(
    "name", ["tlsrpt/rpt01.eml", "tlsrpt/rpt02.eml", "tlsrpt/rpt03.json", "dmarc-feedback/003.xml"]
)
def test_whatever_form_it_has(config: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert take_in(config, str(corpus("mail-auth") / name), True) == 0
    assert len(told(capsys)["reports"]) == 1


def test_from_standard_input(config: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.unit.rfc.tlsrpt.test_report import REPORT

    packed = gzip.compress(compose_report(REPORT))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(packed)))
    assert take_in(config, "-", False) == 0
    assert "certificate-expired mx.b.example 192.0.2.2 X509" in capsys.readouterr().out


@pytest.mark.parametrize("data", [gzip.compress(b" " * 50_000_000), b"", b"{}", b"<a/>", b"hello"])
def test_what_is_no_report_is_an_answer_of_no(
    config: str, tmp_path: Path, data: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(data)
    assert take_in(config, str(tmp_path / "file"), True) == 1
    assert told_twice(capsys)


def told_twice(capsys: pytest.CaptureFixture[str]) -> bool:
    """A reason in the document and one on standard error."""
    out, err = capsys.readouterr()
    document = json.loads(out)
    return document["reports"] == [] and len(document["problems"]) == 1 and err.startswith("mta: ")


def test_nothing_kept_is_nothing_listed(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert show_list(config, False) == 0
    assert capsys.readouterr().out == "no reports\n"


@pytest.mark.parametrize("day", ["yesterday", "2026-11-24"])
def test_sending_takes_a_queue(config: str, day: str) -> None:
    with pytest.raises(UsageError, match="no queue"):
        send(config, day, False)


def test_a_file_that_is_not_there(config: str) -> None:
    with pytest.raises(UsageError, match="No such file"):
        take_in(config, "nowhere.eml", False)
