"""`mta reports`: what we tell other domains about their mail, and what they tell us about ours."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mta.app.commands import ask_worker
from mta.app.folders import control_paths
from mta.app.reports import import_reports, send_offline, sent_report, stored_reports
from mta.cli.ask import look
from mta.cli.paint import paint_for
from mta.contract.configuration import Configuration
from mta.errors import UsageError
from mta.observe.log import printable

_HEADINGS = ("DAY", "WHOSE", "KIND", "DOMAIN", "WITH", "SUMS", "STATE")
_MOST_INPUT = 32 * 1024 * 1024  # octets of a file


def show_list(config: str, json_output: bool) -> int:
    """All reports, ours and those of others; 0."""
    known = look(config)
    ours, theirs = stored_reports(known, "sent"), [_brief(one) for one in stored_reports(known, "received")]
    if json_output:
        print(json.dumps({"ours": ours, "received": theirs}, indent=2))
    else:
        print("\n".join(table([*map(_our_row, ours), *map(_their_row, theirs)])))
    return 0


def show(config: str, wanted: str, json_output: bool) -> int:
    """Reports whose id or domain is `wanted`, in full; 1 if there is none."""
    known = look(config)
    found = [_with_content(known, one) for one in stored_reports(known, "sent") if _is(one, wanted)]
    found += [one for one in stored_reports(known, "received") if _is(one, wanted)]
    if json_output:
        print(json.dumps({"reports": found}, indent=2))
    else:
        print("\n\n".join(_in_words(one) for one in found))
    if not found:
        print(f"mta: no report has the id or domain {wanted}", file=sys.stderr)
    return 0 if found else 1


def take_in(config: str, file: str, json_output: bool) -> int:
    """Read a report of somebody else and keep it; 1 if none could be read."""
    known = look(config)
    documents, problems = import_reports(known, _read(file))
    if json_output:
        print(json.dumps({"reports": documents, "problems": list(problems)}, indent=2))
    else:
        print("\n\n".join(_in_words(one) for one in documents))
    for problem in problems:
        print(f"mta: {printable(problem)}", file=sys.stderr)
    return 0 if documents else 1


def send(config: str, day: str, json_output: bool) -> int:
    """Make and send the reports of a day now; 1 if some could not be sent."""
    known = look(config)
    states = _send(known, _day(day, time.time()))
    if json_output:
        print(json.dumps({"reports": states}, indent=2))
    else:
        print("\n".join(table([_our_row(state) for state in states])))
    return 0 if all(one["state"] in ("queued", "sent") for state in states for one in state["destinations"]) else 1


def _send(known: Configuration, day: str) -> list[dict[str, Any]]:
    """By the first worker, once every worker has written down what it counted; by ourselves where none is alive."""
    alive = []
    for _, path in control_paths(known):
        try:
            ask_worker(path, {"command": "reports-write"})
            alive.append(path)
        except OSError:
            continue  # nobody serves it
    if not alive:
        return asyncio.run(send_offline(known, day))
    if alive[0] != control_paths(known)[0][1]:
        raise UsageError("the first worker does not answer: try again")
    answer = ask_worker(alive[0], {"command": "reports-send", "day": day})
    return list(answer["reports"])


def _day(text: str, now: float) -> str:
    shift = {"today": 0, "yesterday": 1}.get(text)
    if shift is None:
        return text
    return datetime.fromtimestamp(now - shift * 86_400, UTC).strftime("%Y-%m-%d")


def _read(file: str) -> bytes:
    try:
        if file == "-":
            data = sys.stdin.buffer.read(_MOST_INPUT + 1)
        else:
            with Path(file).open("rb") as stream:
                data = stream.read(_MOST_INPUT + 1)
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}") from error
    if len(data) > _MOST_INPUT:
        raise UsageError(f"{file}: more than {_MOST_INPUT} octets is no report")
    return data


def _with_content(known: Configuration, state: dict[str, object]) -> dict[str, object]:
    """Our report as one reads those of others, with its state."""
    from mta.policy.report_document import document
    from mta.policy.report_read import read_reports

    found = read_reports(sent_report(known, state))
    content = document(found.reports[0]) if found.reports else {}
    return {**content, **state}


def _brief(known: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in known.items() if key != "report"}


def _is(known: dict[str, Any], wanted: str) -> bool:
    return wanted.strip("<>") in (known["id"], known["domain"])


# --- for people


def table(rows: list[tuple[str, ...]]) -> list[str]:
    """Rows under headings, columns as wide as they need."""
    if not rows:
        return ["no reports"]
    clean = [tuple(printable(cell) for cell in row) for row in rows]
    widths = [max(len(row[place]) for row in (_HEADINGS, *clean)) for place in range(len(_HEADINGS))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in clean]
    head = "  ".join(word.ljust(width) for word, width in zip(_HEADINGS, widths, strict=True)).rstrip()
    return [paint_for(sys.stdout)("head", head), *lines]


def _our_row(state: dict[str, Any]) -> tuple[str, ...]:
    places = state["destinations"]
    words = ", ".join(_place(one) for one in places)
    day = f"{state['day']}{' (part)' if state['part'] else ''}"
    return (day, "ours", state["kind"], state["domain"], "", _sums(state["sums"]), words or "nobody asks")


def _place(one: dict[str, object]) -> str:
    detail = one.get("message") or one.get("detail", "")
    return f"{one['state']} {one['uri']}{f' ({detail})' if detail else ''}"


def _their_row(known: dict[str, Any]) -> tuple[str, ...]:
    state = "signed" if known["trusted"] else f"not trusted: {known['reason']}"
    day = known["begin"][:10]
    return (day, "theirs", known["kind"], known["domain"], known["organization"], _sums(known["sums"]), state)


def _sums(sums: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sums.items())


def _in_words(known: dict[str, Any]) -> str:
    row = _our_row(known) if "destinations" in known else _their_row(known)
    lines = [f"{known['kind']} report {known['id']} about {known['domain']}"]
    lines += [f"  {name.lower():7} {cell}" for name, cell in zip(_HEADINGS, row, strict=True) if cell]
    report = known.get("report", {})
    for one in report.get("rows", ()):
        lines.append(
            f"  {one['count']:>7} {one['source_ip']} {one['disposition']} dkim={one['dkim']} spf={one['spf']} "
            f"from={one['header_from']}"
        )
    for policy in report.get("policies", ()):
        lines.append(f"  {policy['type']} {policy['domain']}: {policy['successes']} good, {policy['failures']} failed")
        lines += [
            f"  {one['count']:>7} {one['result']} {one['receiving_mx']} {one['receiving_ip']} {one['reason']}".rstrip()
            for one in policy["details"]
        ]
    if known["kind"] == "arf":
        told = ("type", "auth_failure", "source_ip", "mail_from", "dkim_domain", "identity_alignment")
        lines += [f"  {name.replace('_', ' '):18} {report[name]}" for name in told if report[name]]
    return "\n".join(printable(line) for line in lines)
