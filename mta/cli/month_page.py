"""The page of `mta report` for a terminal, for a spreadsheet, and for a browser or a printer."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment

from mta.observe.log import printable

TABLES = (
    ("level", "TLS level"),
    ("version", "TLS version"),
    ("group", "Key exchange"),
    ("published", "DANE and MTA-STS"),
    ("authentication", "Authentication"),
    ("smime", "S/MIME and portal"),
)
HOW = (
    "Counted on the way in: messages that were answered with 250. On the way out: recipients that a next hop or the "
    "portal took. In clear is what crossed the connection without TLS; what went to the portal crossed none."
)
_TEMPLATE = Path(__file__).with_name("month.html")
_WAYS = (("inbound", "In"), ("outbound", "Out"))


def as_text(page: Mapping[str, object]) -> str:
    """For a terminal."""
    return "\n".join(_lines(page))


def _lines(page: Mapping[str, Any]) -> Iterator[str]:
    yield f"{page['connector']}, {page['month']}: in clear: {page['in_clear']}"
    yield f"  {page['messages']} messages, {page['inbound']['count']} in, {page['outbound']['count']} recipients out"
    if page["about"]:
        yield f"  {printable(page['about'])}"
    if page["whole"]:
        yield f"  {page['whole']}"
    for key, title in _WAYS:
        way = page[key]
        yield f"\n{title}: {way['count']}"
        for name, told in TABLES:
            counts = ", ".join(f"{printable(word)} {count}" for word, count in way[name].items())
            if counts:
                yield f"  {told + ':':18} {counts}"
        for each in way["certificates"]:
            left = "" if each["days_left"] is None else f", {each['days_left']} days left at the least"
            yield f"  {'certificate:':18} {printable(each['subject'])}, shown {each['count']} times{left}"
            yield f"  {'':18} sha256 {each['sha256']}"
    yield f"\nExceptions: {len(page['exceptions']) or 'none'}"
    for each in page["exceptions"]:
        yield f"  {_moment(each['time'])}  {each['id']}  {each['direction']}: {printable(each['what'])}"
    yield f"\n{HOW}"
    yield f"Messages in their states: sha256 {page['sha256']}. Contracts in force: {page['configuration']}"


def as_csv(page: Mapping[str, Any]) -> str:
    """One row a number: month, connector, direction, table, word, count; exceptions with their id and words."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(("month", "connector", "direction", "table", "word", "count", "note"))
    start = (page["month"], page["connector"])
    for key, _ in _WAYS:
        way = page[key]
        rows.writerow((*start, key, "total", "", way["count"], ""))
        rows.writerow((*start, key, "in_clear", "", way["in_clear"], ""))
        for name, _ in TABLES:
            rows.writerows((*start, key, name, _cell(word), count, "") for word, count in way[name].items())
        for each in way["certificates"]:
            rows.writerow((*start, key, "certificate", each["sha256"], each["count"], _cell(each["subject"])))
    for each in page["exceptions"]:
        rows.writerow((*start, each["direction"], "exception", each["id"], 1, _cell(each["what"])))
    return out.getvalue().rstrip("\n")


def _cell(text: str) -> str:
    """A spreadsheet takes a cell that begins so for a formula, and a sender can choose what stands there."""
    safe = printable(text)
    return f"'{safe}" if safe[:1] in ("=", "+", "-", "@", "\t") else safe


def _moment(epoch: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(epoch))


def as_html(page: Mapping[str, object]) -> str:
    """For a browser or a printer: one file that loads nothing."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["moment"] = _moment
    environment.filters["shown"] = printable
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        page=page, ways=_WAYS, tables=TABLES, how=HOW
    )
