"""One screen: numbers of all workers, summed, and as rates against what was seen before."""

from __future__ import annotations

from mta.cli.status import screen, summed

SAMPLES = [
    ("mta_sessions", [], 2.0),
    ("mta_sessions", [], 3.0),
    ("mta_queue_recipients", ["queued"], 4.0),
    ("mta_queue_recipients", ["held"], 1.0),
    ("mta_queue_octets", [], 2048.0),
    ("mta_messages_accepted_total", ["fabrikam", "1.3"], 5.0),
    ("mta_messages_refused_total", ["fabrikam", "MAIL", "no-tls"], 2.0),
    ("mta_deliveries_total", ["fabrikam", "delivered", "verified"], 7.0),
    ("mta_deliveries_total", ["fabrikam", "held", ""], 1.0),
    ("mta_not_delivered_total", ["fabrikam", "deferred", "connect"], 3.0),
    ("mta_outbound_tls_total", ["fabrikam", "1.3"], 6.0),
    ("mta_queue_oldest_seconds", ["fabrikam"], 90.0),
    ("mta_queue_oldest_seconds", ["fabrikam"], 30.0),
    ("mta_defects_total", [], 1.0),
    ("mta_something_new", ["x"], 1.0),
]


def test_samples_of_workers_become_one_document() -> None:
    found = summed(SAMPLES)
    assert (found["sessions"], found["queue"], found["octets"]) == (5, {"queued": 4, "held": 1}, 2048)
    partner = found["connectors"]["fabrikam"]
    assert (partner["accepted"], partner["refused"], partner["delivered"], partner["oldest"]) == (5, 2, 7, 90)
    assert (partner["tls"], partner["reasons"]) == ({"1.3": 6}, {"no-tls": 2, "connect": 3})


def test_the_second_look_shows_rates() -> None:
    def at(time: float, samples: list[tuple[str, list[str], float]]) -> dict[str, object]:
        return {"time": time, "version": "1", "workers": {"up": [0], "silent": [1]}, **summed(samples)}

    first, second = (
        at(100.0, SAMPLES),
        at(104.0, [*SAMPLES, ("mta_messages_accepted_total", ["fabrikam", "none"], 10.0)]),
    )
    plain, rates = "\n".join(screen(first, None)), "\n".join(screen(second, first))
    assert "silent: 1" in plain
    assert "1 defects" in plain
    assert plain.splitlines()[-1].split()[:4] == ["fabrikam", "5", "2", "7"]
    assert rates.splitlines()[-1].split()[:4] == ["fabrikam", "2.5/s", "0.0/s", "0.0/s"]
