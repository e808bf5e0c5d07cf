"""The super user: whoever must open what is not for them, by leave of a second person and for a while."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from mta.model.protected import SuperUser

LONGEST = 86_400.0  # seconds of one leave
PATIENCE = 86_400.0  # seconds in which a second person agrees, or nobody does


class Refused(Exception):
    """A leave may not become what was asked for; the text says why and what to do first."""


def asked(leave: SuperUser) -> SuperUser:
    """A leave as it is asked for. Raises Refused."""
    if not leave.reason.strip():
        raise Refused("say what it is for (--reason): the auditor reads it")
    if not 0 < leave.lasts <= LONGEST:
        raise Refused(f"a leave lasts up to {LONGEST / 3600:.0f} hours, not {leave.lasts / 3600:.1f}")
    return leave


def approved(leave: SuperUser, by: str, now: float) -> SuperUser:
    """The leave once a second person agreed: it begins now. Raises Refused."""
    if leave.ended_at:
        raise Refused(f"the leave {leave.id} was ended by {leave.ended_by}")
    if leave.begins:
        raise Refused(f"{leave.approved_by} has approved the leave {leave.id} already")
    if by.casefold() == leave.asked_by.casefold():
        raise Refused(f"{by} asked for {leave.id}; a second person must approve it")
    if now >= leave.asked_at + PATIENCE:
        raise Refused(f"nobody approved {leave.id} for {PATIENCE / 3600:.0f} hours; it must be asked for again")
    return replace(leave, approved_by=by, begins=now, ends=now + leave.lasts)


def ended(leave: SuperUser, by: str, now: float) -> SuperUser:
    """The leave when somebody, whoever it is, takes it back. Raises Refused."""
    if leave.ended_at:
        raise Refused(f"the leave {leave.id} was ended by {leave.ended_by} already")
    return replace(leave, ended_by=by, ended_at=now)


def is_in_force(leave: SuperUser, now: float) -> bool:
    """Whether its holder may open now. A clock that was set back behind its beginning gives nothing."""
    return bool(leave.begins) and not leave.ended_at and leave.begins <= now < leave.ends


def leave_of(leaves: Iterable[SuperUser], who: str, now: float) -> SuperUser | None:
    """The leave by which `who` may open now: theirs, and nobody else's."""
    return next((leave for leave in leaves if leave.asked_by == who and is_in_force(leave, now)), None)
