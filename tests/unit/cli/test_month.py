"""`mta report`: whose month it is, that none of it is left out, and that its pages hold nothing that runs."""

from __future__ import annotations

import csv
import io
import time
from datetime import datetime
from typing import Any

import pytest

from mta.cli import month
from mta.cli.month import messages, period_of
from mta.cli.month_page import as_csv, as_html, as_text
from mta.errors import UsageError
from mta.policy.month import Month
from tests.unit.policy import test_month as world


def epoch(*date: int) -> float:
    return datetime(*date).timestamp()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("month_", "name", "begin", "end"),
    [
        ("2026-11", "2026-11", (2026, 11, 1), (2026, 12, 1)),
        ("2026-12", "2026-12", (2026, 12, 1), (2027, 1, 1)),
        ("", "2025-12", (2025, 12, 1), (2026, 1, 1)),
    ],
)
def test_a_month_is_from_its_first_moment_to_the_next_ones(
    month_: str, name: str, begin: tuple[int, ...], end: tuple[int, ...]
) -> None:
    found = period_of(month_, epoch(2026, 1, 17))
    assert (found.name, found.begin, found.end) == (name, epoch(*begin), epoch(*end))


@pytest.mark.parametrize("text", ["11-2026", "2026-13", "november", "2026-11-01"])
def test_what_is_no_month_is_told(text: str) -> None:
    with pytest.raises(UsageError, match="expected a month like 2026-11"):
        period_of(text, 0.0)


@pytest.mark.parametrize("count", [0, 7, 100])
def test_no_message_is_left_out_or_told_twice_however_many_there_are(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    there = [{"id": f"m{number}", "received": 1000.0 + number // 3} for number in range(count)]

    def ask(config: str, request: dict[str, Any]) -> dict[str, Any]:
        fits = [each for each in there if request["since"] <= each["received"] < request["until"]]
        return {"messages": fits[: request["limit"]]}

    monkeypatch.setattr(month, "ask", ask)
    monkeypatch.setattr(month, "_WINDOW", 4)
    assert sorted(each["id"] for each in messages("c", 1000.0, 2000.0)) == sorted(each["id"] for each in there)


def page(*told: dict[str, Any], **more: Any) -> dict[str, Any]:
    counted = Month("fabrikam")
    for each in told:
        counted.add(each)
    known = {"month": "2026-11", "about": "contact Jane", "whole": "", "configuration": "c0ffee", "made": 0.0}
    known["host"] = "mx.contoso.example"
    return {**known, **counted.document(), **more}


HOSTILE = "=cmd|' /C calc'!A1 <script>alert(1)</script>\x1b[31m"


def hostile() -> dict[str, Any]:
    leaf = {**world.LEAF, "subject": HOSTILE}
    return world.message(world.delivered(world.host(tls={**world.TLS, "chain": [leaf]}, days_left=1)))


def test_the_text_says_first_what_is_asked_first() -> None:
    told = as_text(page(world.incoming(), world.message(world.delivered(world.host()))))
    assert told.startswith("fabrikam, 2026-11: in clear: 0\n")
    assert "Exceptions: none" in told
    assert "contact Jane" in told
    assert "sha256 " in told


def test_what_is_not_whole_is_said() -> None:
    assert "forgotten" in as_text(page(whole="what ended before is forgotten"))
    assert "Not whole" in as_html(page(whole="what ended before is forgotten"))


def test_the_pages_hold_nothing_that_runs() -> None:
    found = page(hostile())
    assert "\x1b" not in as_text(found)
    html = as_html(found)
    assert "<script>" not in html
    assert "default-src 'none'" in html
    rows = list(csv.reader(io.StringIO(as_csv(found))))
    assert {len(row) for row in rows} == {7}
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "+", "-", "@")]


def test_a_month_that_is_not_over_or_forgotten_is_not_whole() -> None:
    now = time.time()
    over, coming = month.Period("x", now - 90, now - 50), month.Period("x", now - 90, now + 50)
    assert month._whole(over, now, kept=100.0) == ""
    assert "not over" in month._whole(coming, now, kept=100.0)
    assert "forgotten (server.trace.keep)" in month._whole(over, now, kept=10.0)
