"""`watch`, `metrics` and `probe`: what is meant without them, and what cannot be."""

from __future__ import annotations

import pytest

from mta.contract.server import Probing, Server
from mta.contract.values import HostPort
from tests.unit.config.support import built, examined, lines

SERVER = "server: {hostname: a.example, "


def server(text: str) -> Server:
    return built(f"{SERVER}{text}}}").server


def test_files_are_watched_and_nothing_is_dialled_or_served_unless_it_is_written() -> None:
    known = server("trace: {}")
    assert (known.watch, known.metrics, known.probing) == (5.0, None, None)


@pytest.mark.parametrize(("text", "seconds"), [("off", 0.0), ('"off"', 0.0), ("1m", 60.0), ("0.5s", 0.5)])
def test_watching_may_be_slower_or_off(text: str, seconds: float) -> None:
    assert server(f"watch: {text}").watch == seconds


def test_probing_has_its_defaults_and_a_connector_may_be_left_alone() -> None:
    assert server("probe: {}").probing == Probing(86_400.0, 1_209_600.0)
    assert server("probe: {every: 12h, warn: 30d}").probing == Probing(43_200.0, 2_592_000.0)
    text = SERVER + "probe: {}}\nconnectors: {p: {domains: [p.example], probe: false, inbound: {identity: none}}}"
    assert not built(text).connectors["p"].probed


def test_numbers_are_served_at_an_address() -> None:
    assert server('metrics: {address: "127.0.0.1:9100"}').metrics == HostPort("127.0.0.1", 9100)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("watch: 0s", "watch: expected more than 0"),
        ("watch: never", "watch: "),
        ("metrics: {}", "address: this key is required"),
        ('metrics: {address: "localhost:9100"}', "metrics.address"),
        ("probe: {every: 0s}", "probe.every: expected more than 0"),
        ("probe: daily", "probe: expected an object"),
    ],
)
def test_what_cannot_be_is_a_problem(text: str, problem: str) -> None:
    [line] = lines(examined(f"{SERVER}{text}}}"))
    assert problem in line


def test_partners_that_are_dialled_all_the_time_are_a_warning() -> None:
    [warning] = examined(f"{SERVER}probe: {{every: 30s}}}}").warnings
    assert "probe.every: every partner's hosts are dialled every 30 seconds" in str(warning)
