"""`crl` and `revocation`: what is meant where one of them is left out, and what can never be meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from mta.model.tls import HARD, NO_REVOCATION, OFF, SOFT, Revocation
from tests.support.pki import Authority, crl
from tests.unit.config.support import SERVER, at, built, examined, lines, root

IN = (
    SERVER.replace("{", "{{").replace("}", "}}")
    + "connectors: {{a: {{domains: [p.example], inbound: {{tls: {{client_certificate: {{{}}}}}}}}}}}\n"
)
OUT = (
    SERVER.replace("{", "{{").replace("}", "}}")
    + "connectors: {{a: {{domains: [p.example], inbound: {{identity: none}}, outbound: {{tls: {{{}}}}}}}}}\n"
)
PIN = 'pins: ["cert-sha256:' + "0" * 64 + '"]'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root().write(tmp_path / "ca.pem")
    (tmp_path / "a.crl").write_bytes(crl(root(), last=at(-1), next=at(6)))
    return tmp_path


def inbound(text: str, folder: Path) -> Revocation:
    wanted = built(IN.format(text), folder).connectors["a"].inbound.tls.client_certificate
    assert wanted is not None
    return wanted.revocation


def outbound(text: str, folder: Path) -> Revocation:
    return built(OUT.format(text), folder).connectors["a"].outbound.tls.revocation


@pytest.mark.parametrize(
    ("text", "in_mode", "out_mode", "lists"),
    [
        ("names: [a.example], ca: ca.pem", OFF, SOFT, 0),
        ("names: [a.example], ca: ca.pem, crl: [a.crl]", HARD, HARD, 1),
        ("names: [a.example], ca: ca.pem, crl: [a.crl], revocation: soft", SOFT, SOFT, 1),
        ("names: [a.example], ca: ca.pem, crl: [a.crl], revocation: off", OFF, OFF, 0),
        ("names: [a.example]", OFF, SOFT, 0),
        (PIN, OFF, OFF, 0),
    ],
)
def test_what_is_not_written_follows_from_what_is(
    folder: Path, text: str, in_mode: str, out_mode: str, lists: int
) -> None:
    for found, mode in ((inbound(text, folder), in_mode), (outbound(text, folder), out_mode)):
        assert (found.mode, len(found.lists)) == (mode, lists)


def test_a_level_that_judges_no_chain_asks_nothing(folder: Path) -> None:
    assert outbound("level: encrypted", folder) == NO_REVOCATION


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (OUT.format(PIN + ", revocation: hard"), "revocation: only what an authority has issued can be revoked"),
        (OUT.format(PIN + ", crl: [a.crl]"), "crl: only what an authority has issued can be revoked"),
        (OUT.format("level: encrypted, revocation: soft"), "only what an authority"),
        (IN.format("names: [a.example], ca: ca.pem, revocation: hard"), "revocation: hard needs lists to look into"),
        (OUT.format("ca: ca.pem, crl: [ca.pem]"), "ca.pem holds no certificate revocation list"),
        (OUT.format("ca: ca.pem, crl: [none.crl]"), "No such file"),
        (OUT.format("ca: ca.pem, revocation: maybe"), "expected hard or soft or off"),
    ],
)
def test_what_can_never_be_meant_is_a_problem(folder: Path, text: str, problem: str) -> None:
    [line] = lines(examined(text, folder))
    assert problem in line.replace(str(folder) + "/", "")


def test_a_list_that_is_out_of_date_is_a_warning_so_that_a_reload_still_works(folder: Path) -> None:
    (folder / "a.crl").write_bytes(crl(root(), next=at(-2)))
    examination = examined(OUT.format("ca: ca.pem, crl: [a.crl]"), folder)
    assert examination.problems == ()
    assert "is out of date for 48.0 hours" in str(examination.warnings[0])


def test_lists_are_watched(folder: Path) -> None:
    assert str(folder / "a.crl") in built(OUT.format("ca: ca.pem, crl: [a.crl]"), folder).files


def test_an_authority_of_which_there_is_no_list_is_told(folder: Path) -> None:
    other = Authority("Other Root", not_before=at(-10), not_after=at(1000))
    with open(folder / "ca.pem", "ab") as stream:
        stream.write(other.write(folder / "other.pem").read_bytes())
    for text in (IN, OUT):
        warnings = examined(text.format("names: [a.example], ca: ca.pem, crl: [a.crl]"), folder).warnings
        told = [str(each) for each in warnings if "lists" in str(each)]
        assert len(told) == 1
        assert "crl: none of these lists is of CN=Other Root: mail it vouches for waits" in told[0]
    assert "Other Root" not in str(examined(OUT.format("ca: ca.pem, crl: [a.crl], revocation: soft"), folder).warnings)
