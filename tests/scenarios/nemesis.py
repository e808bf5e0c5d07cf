"""Three nodes under load, and whatever can befall them in any order: killed, frozen, cut off, their COMMITs unanswered.

`make nemesis` does this for ten minutes, under a seed that it prints (MTA_NEMESIS_SEED gives one). It is no part of
`make test`, where each mishap has a story of its own (test_cluster.py).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import Counter
from random import Random, SystemRandom

import pytest

from tests.scenarios.test_cluster import Cluster, cluster, kill
from tests.support.load import Load, id_of
from tests.support.patience import patient
from tests.support.postgres import needs_postgres
from tests.support.proxy import Proxy
from tests.support.running_mta import RunningMta, until

pytestmark = [pytest.mark.peer, needs_postgres()]

__all__ = ["cluster"]

_SECONDS = float(os.environ.get("MTA_NEMESIS", "600"))
_SEED = int(os.environ.get("MTA_NEMESIS_SEED") or SystemRandom().randrange(1 << 32))
_NAMES = ("first", "second", "third")


class Nemesis:
    """One mishap after the other. `vanished`: how often a node may have sent something again."""

    def __init__(self, cluster: Cluster, random: Random) -> None:
        self.cluster = cluster
        self.random = random
        self.nodes: dict[str, tuple[RunningMta, Proxy]] = {}
        self.loads: dict[str, Load] = {}
        self.vanished = 0
        for name in _NAMES:
            node = cluster.start(name)
            self.nodes[name] = (node, cluster.proxies[-1])

    def strike(self) -> None:
        """The next mishap; it is over when this returns."""
        name = self.random.choice(_NAMES[1:])  # the first one takes the load
        node, way = self.nodes[name]
        mishap = self.random.choice([self.kill, self.freeze, self.cut, self.stall, self.lose])
        mishap(name, node, way)

    def kill(self, name: str, node: RunningMta, way: Proxy) -> None:
        self.vanished += 1
        kill(node)
        self.nodes[name] = (self.cluster.start(name, way), way)
        self.loads[name].relay = self.nodes[name][0]

    def freeze(self, name: str, node: RunningMta, way: Proxy) -> None:
        self.vanished += 1
        for worker in node.workers():
            os.kill(worker, signal.SIGSTOP)
            time.sleep(self.cluster.lease * self.random.uniform(0.2, 2.0))
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGCONT)

    def cut(self, name: str, node: RunningMta, way: Proxy) -> None:
        self.vanished += 1
        way.drop()
        time.sleep(self.cluster.lease * self.random.uniform(0.2, 2.0))
        way.mend()

    def stall(self, name: str, node: RunningMta, way: Proxy) -> None:
        self.vanished += 1
        way.stall()
        time.sleep(self.cluster.lease * self.random.uniform(0.2, 2.0))
        way.mend()

    def lose(self, name: str, node: RunningMta, way: Proxy) -> None:
        way.lose_commit = True


@pytest.mark.timeout(patient(_SECONDS * 2 + 300))
def test_whatever_befalls_the_nodes_what_was_acknowledged_is_delivered(cluster: Cluster) -> None:
    print(f"seed {_SEED}")
    nemesis = Nemesis(cluster, Random(_SEED))
    end = time.monotonic() + _SECONDS
    with contextlib.ExitStack() as loads:
        for name in _NAMES:
            load = Load(nemesis.nodes[name][0], sessions=2, pause=0.05, name=name)
            nemesis.loads[name] = loads.enter_context(load)
        while time.monotonic() < end:
            nemesis.loads["first"].wait_for_more(10)
            nemesis.strike()
        nemesis.loads["first"].wait_for_more(10)
    first = nemesis.nodes["first"][0]
    until(lambda: not first.ask("queue", "list")["messages"], patient(120), describe=first.story)
    acknowledged = {identity for load in nemesis.loads.values() for identity in load.acknowledged}
    times = Counter(id_of(message.data) for message in cluster.peer.messages)
    print(f"{len(acknowledged)} acknowledged, {times.total() - len(times)} sent again, {nemesis.vanished} mishaps")
    assert acknowledged <= set(times), "mail that was answered 250 was not delivered"
    assert max(times.values()) <= 1 + nemesis.vanished
