"""How a report leaves: as a mail of ours through the queue, or by HTTPS. Each destination has a state of its own.

kept      `send` is off                        waiting   to be tried at `due`, until `until`
queued    a mail is on its way (`message`)     sent      an HTTPS server has taken it
failed    `detail` says why
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mta.contract.connectors import DEFAULT
from mta.errors import StorageError
from mta.model.address import Mailbox
from mta.model.envelope import Envelope, Recipient
from mta.model.evidence.message import Written
from mta.model.message import Content, QueuedMessage, RecipientState
from mta.observe import events
from mta.pipeline.report import INBOUND
from mta.pipeline.site import Shard, Site
from mta.policy.report_day import TLS, Subject, letter, media_type
from mta.policy.report_target import target_of
from mta.policy.route import choose
from mta.ports import ReportPoster
from mta.rfc.smtp.address import parse_mailbox

KEPT, WAITING, QUEUED, SENT, FAILED = "kept", "waiting", "queued", "sent", "failed"
MAX_PACKED = 10 * 1024 * 1024  # octets: more than most receivers take

_PATIENCE = 86_400.0  # RFC 8460 §5.5: a delivery may be tried for a day
_SPREAD = 3600.0  # RFC 8460 §4.1: not all reporters at midnight
_FIRST_WAIT, _LONGEST_WAIT = 300.0, 3600.0

State = dict[str, Any]


def wait(uri: str, now: float) -> State:
    """The state of a destination that nothing was sent to yet."""
    return {"uri": uri, "state": WAITING, "due": now, "until": now + _PATIENCE, "attempts": 0}


@dataclass(frozen=True, slots=True)
class Delivery:
    """The ways out. `shard` takes the mails; `wake` tells its scheduler."""

    site: Site
    shard: Shard
    poster: ReportPoster
    wake: Callable[[], None]

    async def attempt(self, about: Subject, packed: bytes, state: State, *, at_once: bool) -> State:
        """Try one destination; its new state."""
        target = target_of(state["uri"])
        now = round(self.site.clock.now(), 3)
        if target.problem or len(packed) > MAX_PACKED:
            problem = target.problem or f"the report has {len(packed)} octets, {MAX_PACKED} are sent"
            return self._failed(about, state, problem)
        if target.mailbox is None:
            return await self._post(about, packed, state)
        message = self._message(about, packed, target.mailbox, at_once)
        try:
            await self.shard.store.enqueue(message)
        except StorageError as error:
            return self._again(about, state, str(error))
        self.wake()
        self.site.log.info(
            events.REPORT_QUEUED, kind=about.kind, domain=about.domain, to=state["uri"], message=message.id
        )
        return {"uri": state["uri"], "state": QUEUED, "at": now, "message": message.id}

    def _message(self, about: Subject, packed: bytes, to: Mailbox, at_once: bool) -> QueuedMessage:
        """Ordinary mail of ours. Nobody is told of its failure (NOTIFY=NEVER): that is a matter for `mta reports`."""
        contract, now = self.site.contract, self.site.clock.now()
        reports = contract.configuration.server.reports
        raw = letter(about, packed, to.in_ascii, reports, now)
        connector = choose(contract.index, to).connector.name
        if connector == DEFAULT:
            connector = reports.connector
        due = now if at_once else now + self.site.random.uniform(0, _SPREAD)
        return QueuedMessage(
            id=self.site.ids.next(),
            envelope=Envelope(
                parse_mailbox(reports.from_),
                (Recipient(to, ("NEVER",)),),
                size=len(raw),
                tls="optional" if about.kind == TLS else "",
            ),
            content=Content(len(raw), raw),
            prefix=b"",
            received=now,
            inbound=INBOUND,
            states=(RecipientState(0, connector, due=due),),
            evidence=Written(report=about.kind, about=about.domain, day=about.day).to_json(),
        )

    async def _post(self, about: Subject, packed: bytes, state: State) -> State:
        private = self.site.contract.configuration.server.reports.private_collectors
        answer = await self.poster.post(state["uri"], media_type(about.kind), packed, private=private)
        if not answer.accepted:
            return self._again(about, state, answer.detail)
        self.site.log.info(
            events.REPORT_POSTED, kind=about.kind, domain=about.domain, to=state["uri"], reply=answer.detail
        )
        now = round(self.site.clock.now(), 3)
        return {"uri": state["uri"], "state": SENT, "at": now, "detail": answer.detail}

    def _again(self, about: Subject, state: State, reason: str) -> State:
        now, attempts = self.site.clock.now(), state.get("attempts", 0) + 1
        due = now + _wait_after(attempts)
        waited = sum(map(_wait_after, range(1, attempts)))  # by the schedule: what the clock cannot make us believe
        late = due > state.get("until", now + _PATIENCE)
        if (late and 2 * waited >= _PATIENCE) or waited >= _PATIENCE:
            return self._failed(about, state, reason)
        return {**state, "due": round(due, 3), "attempts": attempts, "detail": reason}

    def _failed(self, about: Subject, state: State, reason: str) -> State:
        self.site.log.warning(
            events.REPORT_FAILED, kind=about.kind, domain=about.domain, to=state["uri"], reason=reason
        )
        return {"uri": state["uri"], "state": FAILED, "at": round(self.site.clock.now(), 3), "detail": reason}


def is_due(state: State, now: float) -> bool:
    """Whether it waits and may be tried now. A time that no clock in order has set is none."""
    due = state.get("due", 0)
    return bool(state["state"] == WAITING and not now < due <= now + _LONGEST_WAIT)


def _wait_after(attempts: int) -> float:
    """Seconds to wait after so many attempts."""
    return float(min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(attempts, 10)))
