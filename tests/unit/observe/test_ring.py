"""Whoever looks on sees what they asked for, and holds nothing up."""

from __future__ import annotations

import os
from typing import Any

import pytest

from mta.observe.log import EventLog
from mta.observe.ring import Ring, Wanted

FIELDS = {"connector": "fabrikam", "to": ["Bob@fabrikam.example"], "host": "mx.fabrikam.example[192.0.2.7]:25"}


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        (Wanted(), True),
        (Wanted(connector="fabrikam", to="bob@", ip="192.0.2.7", event="delivery."), True),
        (Wanted(connector="fab"), False),
        (Wanted(to="carol"), False),
        (Wanted(ip="192.0.2.8"), False),
        (Wanted(event="mail."), False),
    ],
)
def test_an_event_is_seen_if_everything_asked_for_holds(wanted: Wanted, seen: bool) -> None:
    assert wanted("delivery.deferred", FIELDS) is seen


def test_what_comes_too_fast_is_dropped_and_counted() -> None:
    ring = Ring(Wanted(), room=3)
    for number in range(5):
        ring.offer(float(number), "info", "x", {"n": number})
    taken, dropped = ring.take()
    assert ([event["n"] for event in taken], dropped) == ([2, 3, 4], 2)
    assert ring.take() == ([], 0)


def test_a_log_offers_each_event_without_secrets_and_with_its_base() -> None:
    reads, writes = os.pipe()
    log, ring = EventLog(writes, "json", worker=3), Ring(Wanted(event="a"))
    log.info("a.before")
    log.rings = (ring,)
    log.warning("a.seen", password="hunter2")
    log.info("b.other")
    [event], _ = ring.take()
    os.close(reads)
    os.close(writes)
    known: dict[str, Any] = {"level": "warning", "event": "a.seen", "worker": 3, "password": "(redacted)"}
    assert {name: value for name, value in event.items() if name != "time"} == known
