"""What is left of a configuration with problems: everything that has none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mta.config.salvage import only_the_queue, salvage
from tests.unit.config.support import NOW

GOOD = """
server: {hostname: mx.contoso.example, queue: {store: "sqlite:/var/spool/mta"}}
domains:
  contoso.example: {deliver_to: ["127.0.0.1:25"]}
connectors:
  internal: {relay: true, inbound: {networks: ["10.0.0.0/8"]}}
  fab.rikam: {domains: [fabrikam.example], outbound: {tls: {level: encrypted}}}
"""


def left(text: str) -> tuple[set[str], tuple[str, ...]]:
    found = salvage(text, "c.yaml", now=NOW.timestamp(), cpus=1)
    assert found is not None
    assert found.configuration.server.queue == "sqlite:/var/spool/mta"
    return set(found.configuration.connectors) - {"default"}, found.left_out


@pytest.mark.parametrize(
    ("old", "new", "names", "left_out"),
    [
        ("level: encrypted", "level: encripted", {"internal"}, ("connectors.fab.rikam",)),
        ("level: encrypted", "levle: encrypted", {"internal"}, ("connectors.fab.rikam",)),
        ("10.0.0.0/8", "10.0.0.0/88", {"fab.rikam"}, ("connectors.internal",)),
        ("127.0.0.1:25", "127.0.0.1:port", {"internal", "fab.rikam"}, ("domains.contoso.example",)),
        ("hostname: mx.contoso.example", "hostname: '?'", {"internal", "fab.rikam"}, ("server.hostname",)),
        ("domains:\n", "domians: {}\ndomains:\n", {"internal", "fab.rikam"}, ("domians",)),
        ("{hostname: ", "{wokers: 3, hostname: ", {"internal", "fab.rikam"}, ("server.wokers",)),
    ],
)
def test_a_problem_takes_its_part_alone(old: str, new: str, names: set[str], left_out: tuple[str, ...]) -> None:
    assert old in GOOD
    found, out = left(GOOD.replace(old, new))
    assert found == names
    assert set(left_out) <= set(out)


@pytest.mark.parametrize("text", ["", "- a", "server: [", "a: b: c"])
def test_what_is_no_configuration_gives_none(text: str) -> None:
    assert salvage(text, "c.yaml", now=0.0, cpus=1) is None


@settings(max_examples=50, deadline=None)
@given(st.integers(0, len(GOOD)), st.text(max_size=4))
def test_no_typo_is_too_much_for_it(place: int, typo: str) -> None:
    text = GOOD[:place] + typo + GOOD[place:]
    salvage(text, "c.yaml", now=NOW.timestamp(), cpus=1)
    assert only_the_queue(text, "c.yaml").server.queue.startswith("sqlite:")


def test_the_place_of_the_queue_is_found_in_what_is_no_yaml() -> None:
    assert only_the_queue(GOOD + "\n  x: [", "c.yaml").server.queue == "sqlite:/var/spool/mta"
    assert only_the_queue("", "c.yaml").server.queue == "sqlite:var/queue"


@pytest.mark.parametrize(
    "text", ["server:\n  state: /run/mta\n x: [", 'server: {hostname: a, state: "/run/mta"} [', ""]
)
def test_the_place_of_the_sockets_is_found_too(text: str) -> None:
    assert only_the_queue(text, "c.yaml").server.state == ("/run/mta" if text else "")
