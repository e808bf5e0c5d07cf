"""Connectors of which a file cannot be used: they stop alone, and say why; all others work.

What is wrong with the text of connectors.yaml, with the server or with our own domains concerns everybody and is
refused as a whole. A partner's CA that has expired, or a certificate, key, list or password that cannot be read, is
theirs alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from mta.contract.configuration import Configuration
from mta.contract.connectors import DEFAULT, Connector

INBOUND, OUTBOUND = "inbound", "outbound"


def mark(connectors: Mapping[str, Connector], ailing: Mapping[tuple[str, str], list[str]]) -> Mapping[str, Connector]:
    """The connectors with what is wrong in each direction; whoever goes by `default`'s suffers with it."""
    if not ailing:
        return connectors

    def told(name: str, own: bool, direction: str) -> str:
        return "; ".join(dict.fromkeys(ailing.get((name if own else DEFAULT, direction), ())))

    return {
        name: replace(
            one,
            inbound=replace(one.inbound, broken=told(name, one.own_inbound, INBOUND)),
            outbound=replace(one.outbound, broken=told(name, one.own_outbound, OUTBOUND)),
        )
        for name, one in connectors.items()
    }


def broken(configuration: Configuration) -> Iterator[tuple[str, str, str]]:
    """Connector, direction and what is wrong, where something is."""
    if not configuration.ailments:
        return
    for connector in configuration.connectors.values():
        if connector.inbound.broken:
            yield connector.name, INBOUND, connector.inbound.broken
        if connector.outbound.broken:
            yield connector.name, OUTBOUND, connector.outbound.broken


class Told:
    """What was told of broken connectors: each is told once, and once when it is mended."""

    def __init__(self) -> None:
        self.broken: set[tuple[str, str, str]] = set()

    def differs(self, configuration: Configuration) -> bool:
        """Whether there is anything to tell of it."""
        return set(broken(configuration)) != self.broken

    def take(self, configuration: Configuration) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
        """What is to be told as broken (connector, direction, what is wrong), and as mended (connector, direction)."""
        now, before = set(broken(configuration)), self.broken
        self.broken = now
        return sorted(now - before), sorted({one[:2] for one in before} - {one[:2] for one in now})
