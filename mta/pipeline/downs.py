"""Which destinations are down, and which message is out to see whether they still are (`policy/waiting.py`)."""

from __future__ import annotations

from mta.model.attempt import DeliveryResult
from mta.pipeline.deliver import Job
from mta.pipeline.site import Site
from mta.policy.route import Destination
from mta.policy.waiting import Down, pause

_KEPT = 120.0  # seconds beyond `retry_max`
_MOST = 10_000  # destinations remembered: of the rest each message is tried for itself

Key = tuple[str, Destination]


def key_of(job: Job) -> Key | None:
    """What a job shares with others; None: its message has a wish of its own for TLS, and is tried for itself."""
    return None if job.message.envelope.tls else (job.connector.name, job.destination)


class Downs:
    """Of one worker."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known: dict[Key, Down] = {}
        self._trying: dict[Key, str] = {}  # the message that is out

    def __bool__(self) -> bool:
        return bool(self._known)

    def admit(self, job: Job) -> Down | None:
        """None: it may be tried, and is the one if its destination was down. Else what it waits for."""
        key = key_of(job)
        down = self._known.get(key) if key else None
        if key is None or down is None or _is_to_be_protected(job):
            return None
        if key in self._trying or down.until > self._site.clock.monotonic():
            return down
        self._trying[key] = job.message.id
        return None

    def look(self, key: Key) -> tuple[Down | None, bool]:
        """What is known of a destination, and whether somebody may be sent to see."""
        down = self._known.get(key)
        may = down is not None and key not in self._trying and down.until <= self._site.clock.monotonic()
        return down, may

    def came_to(self, job: Job, result: DeliveryResult) -> None:
        """An attempt has ended."""
        key = key_of(job)
        if key is None:
            return
        if result.reached:
            if self._known:
                self._known.pop(key, None)
        elif result.reached is False:
            self._fail(key, job, result)

    def ended(self, job: Job) -> None:
        """Whatever it came to, the message is out no more."""
        key = key_of(job)
        if key is not None and self._trying.get(key) == job.message.id:
            del self._trying[key]

    def forget_old(self) -> None:
        """Drop what nobody has asked again for long: no mail waits for it any more."""
        longest = self._site.contract.configuration.server.limits.retry_max + _KEPT
        before = self._site.clock.monotonic() - longest
        self._known = {key: down for key, down in self._known.items() if down.until > before or key in self._trying}

    def clear(self) -> None:
        """Everything may have changed: each is tried again."""
        self._known.clear()
        self._trying.clear()

    def _fail(self, key: Key, job: Job, result: DeliveryResult) -> None:
        down, clock = self._known.get(key), self._site.clock
        if down and down.until > clock.monotonic():
            return  # several were under way when the first found out
        if down is None and len(self._known) >= _MOST:
            return
        wait = pause(self._site.contract.configuration.server.limits)
        failure = next((each.failure for each in reversed(result.recipients) if each.failure), None)
        reason = failure.reason if failure else ""
        self._known[key] = Down(job.destination.name, clock.monotonic() + wait, reason, job.message.id)


def _is_to_be_protected(job: Job) -> bool:
    """Whether what S/MIME demands was not looked at yet: that may hold or return it, whoever is down."""
    return job.connector.outbound.smime.protects and any(not state.attempts for state in job.recipients)
