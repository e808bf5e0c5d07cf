"""What is logged is counted, under labels of our own, in the text that Prometheus reads."""

from __future__ import annotations

import os

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mta.observe import events, metrics
from mta.observe.log import EventLog
from mta.observe.metrics import FAMILIES, Metrics, exposition

DELIVERY = {"connector": "fabrikam", "to": ["a@x.example", "b@x.example"], "tls": "verified", "version": "1.3"}


@pytest.mark.parametrize(
    ("event", "fields", "expected"),
    [
        (events.MESSAGE_ACCEPTED, {"connector": "a", "tls": "1.3"}, [("mta_messages_accepted_total", ("a", "1.3"), 1)]),
        (
            events.MAIL_REFUSED,
            {"connector": "a", "stage": "MAIL", "word": "certificate-name"},
            [("mta_messages_refused_total", ("a", "MAIL", "certificate-name"), 1)],
        ),
        (events.MAIL_REFUSED, {}, [("mta_messages_refused_total", ("", "", ""), 1)]),
        (
            events.DELIVERED,
            DELIVERY,
            [
                ("mta_deliveries_total", ("fabrikam", "delivered", "verified"), 2),
                ("mta_outbound_tls_total", ("fabrikam", "1.3"), 1),
            ],
        ),
        (
            events.DELIVERY_DEFERRED,  # nobody was reached: it went neither in clear nor otherwise
            {"connector": "fabrikam", "to": ["a@x.example"], "tls": "", "version": "", "word": "connect"},
            [
                ("mta_deliveries_total", ("fabrikam", "deferred", ""), 1),
                ("mta_not_delivered_total", ("fabrikam", "deferred", "connect"), 1),
            ],
        ),
        (
            events.DELIVERED,
            {"connector": "fabrikam", "to": ["a@x.example"], "tls": "none", "version": "none"},
            [
                ("mta_deliveries_total", ("fabrikam", "delivered", "none"), 1),
                ("mta_outbound_tls_total", ("fabrikam", "none"), 1),
            ],
        ),
        (events.MESSAGE_HELD, {"message": "1"}, [("mta_deliveries_total", ("", "held", ""), 1)]),
        (events.ALARM, {"alarm": "partner-key-changed"}, [("mta_alarms_total", ("partner-key-changed",), 1)]),
        (events.SHARD_ALARM, {}, [("mta_alarms_total", ("queue-damaged",), 1)]),
        (
            events.TLS_ESTABLISHED,
            {"version": "1.2", "group": "x25519"},
            [("mta_tls_handshakes_total", ("1.2", "x25519"), 1)],
        ),
        (events.SESSION_CLOSED, {}, []),
        (events.SERVER_RELOADED, {}, []),  # counted once, where it is decided
    ],
)
def test_an_event_is_counted_as_what_it_is(event, fields, expected):
    counted = Metrics()
    counted.observe(event, fields)
    assert counted.samples() == expected


def test_the_supervisor_counts_what_it_decides():
    counted = Metrics(supervisor=True)
    for event in (events.SERVER_RELOADED, events.SERVER_RELOAD_REFUSED, events.WORKER_DIED, events.MESSAGE_ACCEPTED):
        counted.observe(event, {})
    assert counted.samples() == [
        ("mta_reloads_total", ("taken",), 1),
        ("mta_reloads_total", ("refused",), 1),
        ("mta_worker_deaths_total", (), 1),
    ]


def test_the_log_counts_as_it_writes():
    reader, writer = os.pipe()
    log = EventLog(writer, "json")
    log.info(events.DELIVERED, **DELIVERY)
    log.metrics = Metrics()
    log.info(events.DELIVERED, **DELIVERY)
    log.info(events.DELIVERED, **DELIVERY)
    os.close(writer)
    with os.fdopen(reader) as lines:
        assert len(lines.readlines()) == 3
    assert ("mta_outbound_tls_total", ("fabrikam", "1.3"), 2) in log.metrics.samples()


def test_every_family_can_be_read_by_prometheus():
    odd = 'a "quoted" \\ name\nof two lines'
    samples = [("0", (each.name, (odd,) * len(each.labels), 1.5)) for each in FAMILIES.values()]
    samples += [("1", (metrics.QUEUE_OCTETS.name, (), 7.0)), ("", (metrics.RELOADS.name, ("taken",), 2.0))]
    text = exposition(samples)
    read = {family.name: family for family in text_string_to_metric_families(text)}
    assert {sample.name for family in read.values() for sample in family.samples} == set(FAMILIES)
    accepted = read["mta_messages_accepted"].samples[0]
    assert accepted.labels == {"connector": odd, "tls": odd, "worker": "0"}
    assert [sample.value for sample in read["mta_queue_octets"].samples] == [1.5, 7.0]
    assert any(sample.labels == {"result": "taken"} and sample.value == 2 for sample in read["mta_reloads"].samples)
    assert all(family.documentation for family in read.values())


def test_what_another_version_counted_is_left_out():
    assert exposition([("0", ("mta_new_total", ("x",), 1)), ("0", ("mta_sessions", ("surplus",), 1))]) == "\n"


def test_the_time_in_the_queue_is_counted_once_for_each_recipient_at_its_end() -> None:
    counted = Metrics()
    for event, delay in ((events.DELIVERY_DEFERRED, 5.0), (events.DELIVERED, 0.3), (events.DELIVERED, 2.0)):
        counted.observe(event, {**DELIVERY, "delay": delay})
    counted.observe(events.DELIVERED, {**DELIVERY, "to": ["a@x.example"], "delay": 1e6})
    text = exposition([("0", sample) for sample in counted.samples()])
    [family] = [each for each in text_string_to_metric_families(text) if each.name == "mta_time_in_queue_seconds"]
    assert family.type == "histogram"
    assert text.count("# TYPE mta_time_in_queue_seconds histogram") == 1
    found = {(s.name.rpartition("_")[2], s.labels.get("le")): s.value for s in family.samples}
    assert found["count", None] == found["bucket", "+Inf"] == 5
    assert found["sum", None] == 2 * 0.3 + 2 * 2.0 + 1e6
    assert [found["bucket", bound] for bound in ("0.1", "0.5", "2", "10", "432000")] == [0, 2, 4, 4, 4]
