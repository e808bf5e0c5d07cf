"""The stage of the demo is set from a configuration."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mta.cli.demo.world import free_ports, prepare, scratch, template, with_ports
from mta.config.load import load
from mta.errors import UsageError


def test_ports_are_exchanged_behind_loopback_only() -> None:
    text = 'a: ["127.0.0.1:2525", "192.0.2.1:2525", "127.0.0.1:26"]'
    assert with_ports(text, {2525: 7}) == 'a: ["127.0.0.1:7", "192.0.2.1:2525", "127.0.0.1:26"]'


def test_free_ports_are_different() -> None:
    assert len(set(free_ports(5))) == 5


def test_both_configurations_are_good_and_point_at_each_other(tmp_path: Path) -> None:
    world = prepare(scratch(tmp_path))
    ours = load(str(world.contoso.config), now=time.time(), cpus=1)
    theirs = load(str(world.fabrikam.config), now=time.time(), cpus=1)
    assert ours.warnings == theirs.warnings == ()
    assert ours.connectors["fabrikam"].outbound.hosts == (world.fabrikam.relay,)
    assert theirs.connectors["contoso"].outbound.hosts == (world.contoso.relay,)
    assert theirs.server.listen[0].address == world.fabrikam.relay
    assert theirs.domains["fabrikam.example"].deliver_to == (world.fabrikam.mailbox,)
    assert ours.domains["contoso.example"].deliver_to == (world.contoso.mailbox,)


def test_the_pki_is_made_once(tmp_path: Path) -> None:
    config = scratch(tmp_path)
    assert prepare(config).pki_made
    key = (tmp_path / "certs/mx.contoso.example.key").read_bytes()
    assert not prepare(config).pki_made
    assert (tmp_path / "certs/mx.contoso.example.key").read_bytes() == key


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ('hosts: ["127.0.0.1:3525"]', 'hosts: ["192.0.2.1:25"]', "a connector for fabrikam.example"),
        ('deliver_to: ["127.0.0.1:2625"]', 'deliver_to: ["192.0.2.1:25"]', "contoso.example with deliver_to a port"),
        ('    - {address: "127.0.0.1:2525"}', "", "a listener with STARTTLS"),
    ],
)
def test_a_configuration_the_demo_cannot_play_is_told_what_is_missing(
    before: str, after: str, words: str, tmp_path: Path
) -> None:
    text = template("contoso")
    assert before in text
    config = tmp_path / "connectors.yaml"
    config.write_text(text.replace(before, after))
    with pytest.raises(UsageError, match=words):
        prepare(config)


def test_a_missing_configuration_is_named_and_makes_no_pki(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file"):
        prepare(tmp_path / "connectors.yaml")
    assert list(tmp_path.iterdir()) == []
