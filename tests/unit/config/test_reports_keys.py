"""The keys of daily reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from mta.contract.reports import Reports
from tests.unit.config.support import built, examined, lines
from tests.unit.config.test_authentication_keys import rsa_key, write


def text(reports: str, *, dkim: bool = True) -> str:
    keys = "dkim: [{selector: s1, key: s1.key}], " if dkim else ""
    return f"""\
server: {{hostname: mx.contoso.example, reports: {{{reports}}}}}
domains:
  contoso.example: {{{keys}deliver_to: [mail.contoso.example]}}
connectors:
  slow: {{outbound: {{tls: {{level: opportunistic}}}}}}
  default: {{inbound: {{authentication: {{}}}}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "s1.key", rsa_key())
    return tmp_path


def test_without_the_object_nothing_is_counted(folder: Path) -> None:
    wanted = built("server: {hostname: mx.contoso.example}\n").server.reports
    assert wanted == Reports()
    assert not wanted.wanted


def test_the_object_alone_counts_and_sends_nothing(folder: Path) -> None:
    wanted = built(text("connector: slow"), folder).server.reports
    assert (wanted.dmarc, wanted.tls, wanted.send, wanted.wanted) == (True, True, False, True)
    assert wanted.from_ == "postmaster@mx.contoso.example"
    assert wanted.organization == "mx.contoso.example"


def test_all_keys(folder: Path) -> None:
    keys = (
        "from: reports@contoso.example, organization: Contoso Ltd, dmarc: false, tls: true, send: true, "
        "connector: slow, private_collectors: true, receive: [In@contoso.example], keep: 7d"
    )
    assert built(text(keys), folder).server.reports == Reports(
        "reports@contoso.example",
        "Contoso Ltd",
        False,
        True,
        True,
        "slow",
        True,
        frozenset({"in@contoso.example"}),
        604_800.0,
    )


@pytest.mark.parametrize(
    ("keys", "dkim", "problem"),
    [
        ("connector: slowly", True, "there is no connector slowly"),
        ("connector: slow, receive: [in@fabrikam.example]", True, "in@fabrikam.example is in none of our domains"),
        ("connector: slow, send: true", True, "cannot send reports"),
        ("connector: slow, send: true, from: reports@contoso.example", False, "cannot send reports"),
        ('connector: slow, from: "ä@contoso.example"', True, "ASCII"),
        ("connector: slow, sned: true", True, "sned"),
    ],
)
def test_what_cannot_work_is_told_at_its_line(folder: Path, keys: str, dkim: bool, problem: str) -> None:
    found = lines(examined(text(keys, dkim=dkim), folder))
    assert any(line.startswith("1:") and problem in line for line in found), found


def test_counting_dmarc_where_nothing_is_judged_is_a_warning(folder: Path) -> None:
    silent = text("connector: slow").replace("authentication: {}", "")
    warnings = [str(warning) for warning in examined(silent, folder).warnings]
    assert any("nothing to report about DMARC" in warning for warning in warnings), warnings
