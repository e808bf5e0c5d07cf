"""Leases, gate, claims and takeover, under every order of events that Hypothesis can think of, by clocks of its own.

The machine below is the database with several nodes: each may stop, be cut off, lose requests or answers, crash, and
its clock began at another time than the others'. What counts is what the receivers see.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from mta.model.lease import CRASH_LOOP, Terms, Trust

TERMS = Terms(ttl=60.0, delay=60.0)


def test_trust_begins_where_the_renewal_was_sent_and_ends_before_the_lease() -> None:
    trust = Trust(TERMS)
    assert not trust.holds(0.0)
    trust.renewed(100.0, 130.0)
    assert trust.until == 100.0 + 60.0 - 10.0
    assert (trust.holds(149.9), trust.holds(150.0)) == (True, False)


def test_an_older_renewal_that_is_answered_late_shortens_nothing() -> None:
    trust = Trust(TERMS)
    trust.renewed(100.0, 101.0)
    trust.renewed(90.0, 102.0)
    assert trust.until == 150.0


def test_only_who_was_connected_for_a_whole_lease_may_bury() -> None:
    trust = Trust(TERMS)
    for now in (0.0, 40.0, 80.0):
        trust.renewed(now, now)
    assert (trust.may_bury(59.9), trust.may_bury(60.0)) == (False, True)
    trust.renewed(140.0, 140.0)  # ten seconds without trust came before
    assert (trust.may_bury(180.0), trust.since) == (False, 140.0)
    trust.lost()
    assert not trust.holds(141.0)
    assert not trust.may_bury(1e9)


@pytest.mark.parametrize("ttl", [0.6, 6.0, 60.0, 600.0])
def test_there_is_time_for_several_renewals_within_the_trust(ttl: float) -> None:
    terms = Terms(ttl=ttl)
    assert 4 * terms.every <= terms.ttl - terms.margin


@dataclass
class Row:
    """A message in the database."""

    owner: int | None = None
    due: float = 0.0
    taken_over: int = 0
    held: bool = False
    gone: bool = False  # settled as delivered
    dots: int = 0  # what its receiver has seen
    excuses: int = 0  # takeovers after a dot that was not settled


@dataclass
class Node:
    """A process: `id` is its incarnation, `offset` how far its clock is from the database's."""

    id: int
    offset: float
    trust: Trust = field(default_factory=lambda: Trust(TERMS))
    in_hand: dict[int, int] = field(default_factory=dict)  # message -> the incarnation it was claimed as
    sent: set[int] = field(default_factory=set)  # dots that are not settled


class Cluster(RuleBasedStateMachine):
    """Three nodes and what they do, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0  # of the database
        self.expires: dict[int, float] = {}  # of living incarnations
        self.rows: list[Row] = []
        self.nodes: list[Node] = []
        self.flying: list[tuple[int, int, float]] = []  # renewals: node, incarnation, when sent by its own clock
        self.answers: list[tuple[int, int, float]] = []
        for offset in (0.0, -500.0, 12345.0):
            self.nodes.append(Node(0, offset))
            self.join(self.nodes[-1])

    def clock(self, node: Node) -> float:
        return self.now + node.offset

    def join(self, node: Node) -> None:
        """A new incarnation; what it had in hand it knows still, as the old one."""
        node.id = len(self.expires) + 1
        self.expires[node.id] = self.now + TERMS.ttl
        node.trust = Trust(TERMS)
        node.trust.renewed(self.clock(node), self.clock(node))

    @rule(seconds=st.sampled_from([0.5, 3.0, 10.0, 29.0, 61.0, 200.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(who=st.integers(0, 2))
    def renewal_is_sent(self, who: int) -> None:
        node = self.nodes[who]
        self.flying.append((who, node.id, self.clock(node)))

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), answered=st.booleans())
    def renewal_arrives(self, data: st.DataObject, answered: bool) -> None:
        """However late; and its answer may be lost."""
        who, identity, sent = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        if self.expires.get(identity, -1.0) >= 0:
            self.expires[identity] = self.now + TERMS.ttl
            if answered:
                self.answers.append((who, identity, sent))
        elif answered and self.nodes[who].id == identity:
            self.nodes[who].trust.lost()
            self.join(self.nodes[who])

    @precondition(lambda self: self.answers)
    @rule(data=st.data())
    def answer_arrives(self, data: st.DataObject) -> None:
        who, identity, sent = self.answers.pop(data.draw(st.integers(0, len(self.answers) - 1)))
        node = self.nodes[who]
        if node.id == identity:
            node.trust.renewed(sent, self.clock(node))

    @rule(who=st.integers(0, 2))
    def mail_comes(self, who: int) -> None:
        node = self.nodes[who]
        node.in_hand[len(self.rows)] = node.id
        self.rows.append(Row(owner=node.id, due=self.now))

    @rule(who=st.integers(0, 2))
    def mail_is_claimed(self, who: int) -> None:
        node = self.nodes[who]
        if not node.trust.holds(self.clock(node)):
            return
        for number, row in enumerate(self.rows):
            begun = node.in_hand.get(number, node.id) != node.id
            if row.owner is None and not row.held and not row.gone and row.due <= self.now and not begun:
                row.owner = node.id
                node.in_hand[number] = node.id
                return

    @precondition(lambda self: any(node.in_hand for node in self.nodes))
    @rule(data=st.data())
    def dot_is_due(self, data: st.DataObject) -> None:
        """The gate decides. Where it is passed, nobody else may have the message."""
        node = data.draw(st.sampled_from([node for node in self.nodes if node.in_hand]))
        number = data.draw(st.sampled_from(sorted(node.in_hand)))
        if number in node.sent:
            return
        claimed_as = node.in_hand[number]
        if claimed_as != node.id or not node.trust.holds(self.clock(node)):
            self.settle(node, number, delivered=False)
            return
        row = self.rows[number]
        assert row.owner == claimed_as, "a dot was sent of what somebody else may have"
        assert not row.gone
        row.dots += 1
        node.sent.add(number)

    @precondition(lambda self: any(node.sent for node in self.nodes))
    @rule(data=st.data())
    def outcome_is_written(self, data: st.DataObject) -> None:
        """However late."""
        node = data.draw(st.sampled_from([node for node in self.nodes if node.sent]))
        number = data.draw(st.sampled_from(sorted(node.sent)))
        self.settle(node, number, delivered=True)

    def settle(self, node: Node, number: int, delivered: bool) -> None:
        row, owner = self.rows[number], node.in_hand.pop(number)
        node.sent.discard(number)
        if row.gone or row.owner not in (None, owner):
            return  # superseded
        row.owner, row.gone = None, delivered
        if not delivered:
            row.due = self.now + 1.0

    @rule(who=st.integers(0, 2))
    def the_dead_are_buried(self, who: int) -> None:
        node = self.nodes[who]
        if self.expires.get(node.id, -1.0) < 0 or not node.trust.may_bury(self.clock(node)):
            return
        for identity, expires in self.expires.items():
            if 0 <= expires < self.now - TERMS.margin:
                self.expires[identity] = -1.0
        for number, row in enumerate(self.rows):
            if row.owner is not None and self.expires[row.owner] < 0:
                row.excuses += (
                    any(number in each.sent and each.in_hand[number] == row.owner for each in self.nodes)
                    or self.unsettled.get(number) == row.owner
                )
                row.owner, row.due, row.taken_over = None, max(row.due, self.now + TERMS.delay), row.taken_over + 1
                row.held = row.taken_over >= CRASH_LOOP

    @property
    def unsettled(self) -> dict[int, int]:
        """Dots of nodes that crashed before they could settle."""
        return self.__dict__.setdefault("_unsettled", {})

    @rule(who=st.integers(0, 2))
    def node_crashes(self, who: int) -> None:
        node = self.nodes[who]
        self.unsettled.update((number, node.in_hand[number]) for number in node.sent)
        node.in_hand, node.sent = {}, set()
        self.join(node)

    @invariant()
    def a_copy_more_only_for_a_node_that_vanished(self) -> None:
        assert all(row.dots <= 1 + row.excuses for row in self.rows)

    @invariant()
    def nothing_is_lost(self) -> None:
        assert all(row.dots for row in self.rows if row.gone)


Cluster.TestCase.settings = settings(max_examples=400, stateful_step_count=60, deadline=None)
TestCluster = Cluster.TestCase
