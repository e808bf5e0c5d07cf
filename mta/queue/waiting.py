"""Sorts the recipients that are due: who may be tried, and who waits on with a destination that is down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mta.pipeline.outbound import LaneKey, Outbound
from mta.pipeline.site import Site
from mta.policy.waiting import failure_of, is_quiet, next_turn
from mta.ports import Postponement, WaitingRecipient

WINDOW = 500  # recipients looked at in one go


@dataclass(slots=True)
class Sorted:
    """`looked` at; `free`: how many messages may be claimed; the others are `postponed`."""

    looked: int = 0
    free: int = 0
    postponed: list[Postponement] = field(default_factory=list)


def sort(site: Site, outbound: Outbound, due: Sequence[WaitingRecipient], now: float) -> Sorted:
    """Of each destination that is down one may see whether it still is, if it is time; the others wait on.

    Who has come to the end of a lifetime, or whose sender is to be warned, is claimed like those that may be tried.
    """
    limits, jitter = site.contract.configuration.server.limits, site.random.uniform
    free: set[int] = set()
    out: set[LaneKey] = set()
    turns = Sorted(len(due))
    for recipient in due:
        lane = outbound.lane_of(recipient) if recipient.plain else None
        down, may = outbound.downs.look(lane) if lane else (None, False)
        if lane is None or down is None or not is_quiet(recipient, limits, now):
            free.add(recipient.place[0])
        elif may and lane not in out:
            out.add(lane)
            free.add(recipient.place[0])
        else:
            turn, failure = next_turn(recipient, limits, now, jitter(-1.0, 1.0)), failure_of(down)
            turns.postponed.append(Postponement(recipient, turn, failure.word, failure.reason))
    turns.free = len(free)
    return turns
