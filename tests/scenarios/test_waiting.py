"""A destination that is down: one message tries it, the others wait with it, and all of them arrive once it is up."""

from __future__ import annotations

import time
from pathlib import Path

from tests.support.outgoing import outgoing
from tests.support.running_mta import free_port, until
from tests.support.smtp_peer import smtp_peer

PARTNER = """
  fabrikam:
    domains: [fabrikam.example, wingtip.example]
    inbound: {{identity: none}}
    outbound: {{route: {{hosts: ["127.0.0.1:{port}"]}}, tls: {{level: none}}}}
"""
MANY = 40


def test_one_tries_for_all_and_each_can_say_why_it_waits(tmp_path: Path) -> None:
    port = free_port()
    limits = "retry_min: 2, retry_max: 2"
    with outgoing(tmp_path, PARTNER.format(port=port), limits=limits) as ours:
        sent = [ours.send(f"bob{n}@fabrikam.example") for n in range(MANY)]
        for id_ in sent:
            ours.waits(id_)  # once each: the sender's administrator finds the reason in its history
        lines = len(ours.relay.seen("delivery.deferred"))
        until(lambda: len(ours.relay.seen("delivery.deferred")) >= lines + 3, describe=ours.relay.story)
        listed = ours.ask("list")["messages"]
        waiting = [message["recipients"][0] for message in listed]
        assert len(waiting) == MANY
        told = [one for one in waiting if one["reason"].startswith("waits-for-destination: 127.0.0.1:")]
        assert len(told) >= MANY - 1
        assert all("is tried with message" in one["reason"] and "refused" in one["reason"].lower() for one in told)
        assert all(one["due"] < time.time() + 10 for one in waiting)
        assert all(one["attempts"] >= 2 for one in waiting), "the attempt of one counts for all"
        tried = [line["message"] for line in ours.relay.seen("delivery.deferred")[lines:]]
        assert len(tried) < MANY, "no line for each that waits"
        with smtp_peer(port=port) as partner:
            partner.wait_for(MANY)
            for id_ in sent:
                assert set(ours.ends(id_).values()) == {"delivered"}
            assert len(partner.messages) == MANY
