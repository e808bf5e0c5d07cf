"""Numbers for Prometheus, counted from the events that are logged anyway: nothing else has to be told twice.

Each process counts for itself, in plain dictionaries; labels are our own words, never a peer's, so that nobody can
make up new series.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from mta.observe import events

Fields = dict[str, Any]
Labels = tuple[str, ...]
Sample = tuple[str, Labels, float]  # a family's name, the values of its labels, the number
Count = Callable[[Fields], tuple[Sample, ...]]  # what one event adds; on the way of every message, so it spares steps


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: what it means, and its labels in order."""

    name: str
    help: str
    labels: Labels = ()
    kind: str = "counter"
    of: str = ""  # the histogram that it is a part of

    @property
    def shown(self) -> str:
        """The name under which its meaning and kind are told."""
        return self.of or self.name


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often which time was needed, in buckets of seconds."""

    name: str
    help: str
    labels: Labels
    bounds: tuple[float, ...]

    @property
    def parts(self) -> tuple[Family, ...]:
        """Its buckets, sum and count, as families of their own."""
        labelled = (("bucket", (*self.labels, "le")), ("sum", self.labels), ("count", self.labels))
        return tuple(Family(f"{self.name}_{end}", self.help, names, "histogram", self.name) for end, names in labelled)

    def samples(self, labels: Labels, seconds: float, times: int) -> tuple[Sample, ...]:
        """What `times` of so many seconds add: to one bucket, not to those above it."""
        place = bisect_left(self.bounds, seconds)
        bound = f"{self.bounds[place]:g}" if place < len(self.bounds) else "+Inf"
        return ((f"{self.name}_bucket", (*labels, bound), times), (f"{self.name}_sum", labels, seconds * times))


ACCEPTED = Family("mta_messages_accepted_total", "Messages answered with 250.", ("connector", "tls"))
REFUSED = Family(
    "mta_messages_refused_total", "Commands or messages refused, by the word of the first reason.",
    ("connector", "stage", "reason"),
)  # fmt: skip
WOULD_REFUSE = Family(
    "mta_messages_would_refuse_total", "Messages a connector in audit mode lets pass.", ("connector",)
)
DELIVERIES = Family(
    "mta_deliveries_total", "Recipients by what an attempt came to; `tls` is what was reached, `!` what was demanded.",
    ("connector", "result", "tls"),
)  # fmt: skip
NOT_DELIVERED = Family(
    "mta_not_delivered_total", "Recipients that an attempt did not deliver, by the word of why.",
    ("connector", "result", "reason"),
)  # fmt: skip
HANDSHAKES = Family("mta_tls_handshakes_total", "TLS sessions of clients.", ("version", "group"))
HANDSHAKES_FAILED = Family("mta_tls_handshakes_failed_total", "TLS handshakes of clients that failed.")
OUTBOUND_TLS = Family("mta_outbound_tls_total", "Attempts by TLS version; `none`: in clear.", ("connector", "version"))
SESSIONS_REFUSED = Family("mta_sessions_refused_total", "Sessions that were too many.")
NOT_STORED = Family("mta_storage_failures_total", "Messages or settlements that could not be written.")
ALARMS = Family("mta_alarms_total", "Alarms raised, by their word.", ("alarm",))
DEFECTS = Family("mta_defects_total", "Faults of this program, each with a traceback in the log.")
RELOADS = Family("mta_reloads_total", "New configurations and certificates, taken over or refused.", ("result",))
OPINIONS = Family(
    "mta_second_opinions_total",
    "Sampled messages: `agrees`, `skipped`, or the word of the first cause for which dkimpy differs.", ("result",),
)  # fmt: skip
WORKER_DEATHS = Family("mta_worker_deaths_total", "Worker processes that died and were started again.")

IN_QUEUE = Histogram(
    "mta_time_in_queue_seconds", "From the receipt to the end of each recipient, once, by what came of it.",
    ("connector", "result"), (0.1, 0.5, 2, 10, 60, 300, 1800, 7200, 28_800, 86_400, 432_000),
)  # fmt: skip
COMMITS = Family("mta_commits_total", "Transactions of the queue that were made durable.")
COMMIT_JOBS = Family("mta_commit_jobs_total", "Messages and settlements in these transactions.")
COMMIT_SECONDS = Family("mta_commit_seconds_total", "Seconds that these transactions took, their fsyncs included.")
OLDEST = Family(
    "mta_queue_oldest_seconds", "Since when the oldest recipient that waits was received.", ("connector",), "gauge"
)
QUEUE = Family("mta_queue_recipients", "Recipients in the queue by their state.", ("state",), "gauge")
QUEUE_OCTETS = Family("mta_queue_octets", "Octets of undelivered content.", kind="gauge")
SESSIONS = Family("mta_sessions", "Open sessions of clients.", kind="gauge")
BROKEN = Family(
    "mta_connector_broken", "1 where a file of the connector cannot be used: its mail waits.",
    ("connector", "direction"), "gauge",
)  # fmt: skip
WORKERS_UP = Family("mta_worker_up", "Whether the worker answers.", kind="gauge")
DAYS_LEFT = Family(
    "mta_certificate_days_left", "Days until a certificate of the configuration, or of a partner, expires.",
    ("kind", "where", "subject"), "gauge",
)  # fmt: skip
WITNESS_LAG = Family(
    "mta_log_witness_lag", "Entries of the vault's log that a witness has not countersigned.", ("witness",), "gauge"
)
WITNESS_HEARD = Family(
    "mta_log_witness_heard_seconds", "When a witness of the vault's log last answered, in epoch seconds; 0: never.",
    ("witness",), "gauge",
)  # fmt: skip
WITNESS_CONTRADICTS = Family(
    "mta_log_witness_contradicts", "1 where a witness knows another log: nothing opens.", ("witness",), "gauge"
)
PORTAL = Family(
    "mta_portal_total", "What readers and senders did at the portal, and what came of it.", ("what", "result")
)
FAMILIES = {each.name: each for each in tuple(globals().values()) if isinstance(each, Family)}
HISTOGRAMS = {each.name: each for each in tuple(globals().values()) if isinstance(each, Histogram)}
FAMILIES |= {part.name: part for each in HISTOGRAMS.values() for part in each.parts}


def _accepted(fields: Fields) -> tuple[Sample, ...]:
    return ((ACCEPTED.name, (fields["connector"], fields["tls"]), 1),)


_ENDS = frozenset({"delivered", "failed", "expired"})


def _delivery(result: str) -> Count:
    name, tls_name = DELIVERIES.name, OUTBOUND_TLS.name

    def count(fields: Fields) -> tuple[Sample, ...]:
        connector = fields.get("connector", "")
        recipients = (name, (connector, result, fields.get("tls", "")), len(fields.get("to", ("",))))
        samples: tuple[Sample, ...] = (recipients,)
        if word := fields.get("word"):
            samples += ((NOT_DELIVERED.name, (connector, result, word), recipients[2]),)
        if result in _ENDS and (delay := fields.get("delay")) is not None:
            samples += IN_QUEUE.samples((connector, result), delay, recipients[2])
        if version := fields.get("version"):  # else nobody was spoken to, or it was told with others of this attempt
            samples += ((tls_name, (connector, version), 1),)
        return samples

    return count


def _one(family: Family, *labels: Callable[[Fields], str]) -> Count:
    def count(fields: Fields) -> tuple[Sample, ...]:
        return ((family.name, tuple(label(fields) for label in labels), 1),)

    return count


def _field(name: str) -> Callable[[Fields], str]:
    return lambda fields: str(fields.get(name, ""))


_COUNTED: dict[str, Count] = {
    events.MESSAGE_ACCEPTED: _accepted,
    events.MAIL_REFUSED: _one(REFUSED, _field("connector"), _field("stage"), _field("word")),
    events.MAIL_WOULD_REFUSE: _one(WOULD_REFUSE, _field("connector")),
    events.DELIVERED: _delivery("delivered"),
    events.DELIVERY_DEFERRED: _delivery("deferred"),
    events.DELIVERY_FAILED: _delivery("failed"),
    events.MESSAGE_EXPIRED: _delivery("expired"),
    events.MESSAGE_HELD: _delivery("held"),
    events.TLS_ESTABLISHED: _one(HANDSHAKES, _field("version"), _field("group")),
    events.TLS_FAILED: _one(HANDSHAKES_FAILED),
    events.SESSION_REFUSED: _one(SESSIONS_REFUSED),
    events.MESSAGE_NOT_STORED: _one(NOT_STORED),
    events.SETTLEMENT_NOT_STORED: _one(NOT_STORED),
    events.ALARM: _one(ALARMS, _field("alarm")),
    events.SHARD_ALARM: _one(ALARMS, lambda _: "queue-damaged"),
    events.CONNECTOR_BROKEN: _one(ALARMS, lambda _: "connector-broken"),
    events.OPINION_AGREES: _one(OPINIONS, lambda _: "agrees"),
    events.OPINION_SKIPPED: _one(OPINIONS, lambda _: "skipped"),
    events.OPINION_DIFFERS: _one(OPINIONS, _field("cause")),
    events.DEFECT: _one(DEFECTS),
    events.PORTAL: _one(PORTAL, _field("what"), _field("result")),
}
_OF_THE_SUPERVISOR: dict[str, Count] = {
    events.SERVER_RELOADED: _one(RELOADS, lambda _: "taken"),
    events.SERVER_RELOAD_REFUSED: _one(RELOADS, lambda _: "refused"),
    events.WORKER_DIED: _one(WORKER_DEATHS),
    events.DEFECT: _one(DEFECTS),
}


class Metrics:
    """The counters of one process."""

    def __init__(self, *, supervisor: bool = False) -> None:
        self._table = _OF_THE_SUPERVISOR if supervisor else _COUNTED
        self._counts: defaultdict[tuple[str, Labels], float] = defaultdict(float)

    def observe(self, event: str, fields: Fields) -> None:
        """One event is being logged."""
        count = self._table.get(event)
        if count is not None:
            for name, labels, number in count(fields):
                self._counts[name, labels] += number

    def samples(self) -> list[Sample]:
        """All counts so far."""
        counted = [(name, labels, number) for (name, labels), number in self._counts.items()]
        buckets = {f"{each.name}_bucket": each for each in HISTOGRAMS.values()}
        plain = [sample for sample in counted if sample[0] not in buckets]
        return plain + [sample for name, each in buckets.items() for sample in _summed(each, name, counted)]


def _summed(histogram: Histogram, name: str, counted: list[Sample]) -> list[Sample]:
    """The buckets of a histogram as Prometheus reads them, each with those below it; and the count of all."""
    found: dict[Labels, dict[str, float]] = {}
    for each, labels, number in counted:
        if each == name:
            found.setdefault(labels[:-1], {})[labels[-1]] = number
    samples: list[Sample] = []
    for labels, buckets in found.items():
        total = 0.0
        for bound in (*(f"{bound:g}" for bound in histogram.bounds), "+Inf"):
            total += buckets.get(bound, 0)
            samples.append((name, (*labels, bound), total))
        samples.append((f"{histogram.name}_count", labels, total))
    return samples


def exposition(samples: Iterable[tuple[str, Sample]]) -> str:
    """The text that Prometheus reads (format 0.0.4); each sample comes with the worker it is of, or none."""
    samples_of: dict[str, list[str]] = {}
    for worker, (name, labels, number) in samples:
        family = FAMILIES.get(name)
        if family is None or len(labels) != len(family.labels):
            continue  # of a worker of another version, during an upgrade
        named = dict(zip(family.labels, labels, strict=True)) | ({"worker": worker} if worker else {})
        text = ",".join(f'{label}="{_escaped(value)}"' for label, value in named.items())
        samples_of.setdefault(name, []).append(f"{name}{{{text}}} {number:.10g}" if text else f"{name} {number:.10g}")
    lines = []
    told = ""
    for name in sorted(samples_of, key=lambda name: (FAMILIES[name].shown, name)):
        family = FAMILIES[name]
        if family.shown != told:
            told = family.shown
            lines += [f"# HELP {told} {family.help}", f"# TYPE {told} {family.kind}"]
        lines += sorted(samples_of[name])
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
