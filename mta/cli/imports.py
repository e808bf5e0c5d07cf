"""`mta connectors import`: contracts out of other programs' settings."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from mta.app.load import load
from mta.config.load import Examination, examine_text
from mta.config.problems import one_line
from mta.errors import UsageError
from mta.importers.draft import UNNAMED_HOST, Draft, render
from mta.importers.exchange.convert import import_exchange
from mta.importers.postfix.convert import import_postfix

ALL = "all"


def from_postfix(files: Sequence[str], config: str, json_output: bool, accept: Sequence[str] = ()) -> int:
    """Print the contracts of main.cf and of tables (tls_policy, transport).

    1 if `mta check` finds problems in them, or something is weaker than it was and not among `accept`ed ids.

    Tables that main.cf names are read where they are, or beside it. What the files do not say of the server is taken
    from `config`, where that is. Raises UsageError.
    """
    given = [(file, _read(file)) for file in files]
    folder = Path(files[0]).parent

    def read(path: str) -> str | None:
        for place in (Path(path), folder / Path(path).name):
            try:
                return place.read_text("utf-8", "replace")
            except OSError:
                continue
        return None

    return _print(_Told(import_postfix(given, read), f"made of {', '.join(files)}", accept), config, json_output)


def from_exchange(files: Sequence[str], config: str, json_output: bool, accept: Sequence[str] = ()) -> int:
    """Print the contracts of Get-InboundConnector and Get-OutboundConnector, as ConvertTo-Json wrote them.

    For `config`, `accept` and the result see `from_postfix`. Raises UsageError.
    """
    documents = [document for file in files for document in _documents(file)]
    draft = import_exchange(documents)
    if not draft.connectors:
        raise UsageError(f"{', '.join(files)}: no connector of Exchange is in there")
    return _print(_Told(draft, f"made of {', '.join(files)}", accept), config, json_output)


class _Told:
    """A draft, and what a person has said of it."""

    def __init__(self, draft: Draft, title: str, accept: Sequence[str]) -> None:
        """Raises UsageError for an id that nothing is called by."""
        self.draft, self.title = draft, title
        self.weaker = {found.id: found for found in draft.differences if found.weaker}
        if unknown := [id_ for id_ in accept if id_ not in self.weaker and id_ != ALL]:
            known = ", ".join(self.weaker) or "nothing is weaker"
            raise UsageError(f"--accept: nothing weaker is called {', '.join(unknown)} ({known})")
        self.accepted = frozenset(self.weaker if ALL in accept else accept)
        self.left = [found for id_, found in self.weaker.items() if id_ not in self.accepted]

    def counts(self) -> dict[str, int]:
        """How many of what."""
        return {
            "contracts": len(self.draft.connectors),
            "differences": len(self.draft.differences),
            "weaker": len(self.weaker),
            "accepted": len(self.accepted),
        }

    def differences(self) -> list[dict[str, object]]:
        """As `--json` has them."""
        marked = ((found, {"id": found.id, "accepted": found.id in self.accepted}) for found in self.draft.differences)
        return [{**asdict(found), **(mark if found.weaker else {})} for found, mark in marked]


def _print(told: _Told, config: str, json_output: bool) -> int:
    draft = told.draft
    if draft.server["hostname"] == UNNAMED_HOST and Path(config).exists():
        draft.server["hostname"] = load(config).server.hostname
        draft.differences = [found for found in draft.differences if UNNAMED_HOST not in found.text]
    text = render(draft, told.title, accepted=told.accepted)
    examination = examine_text(text, config, now=time.time(), cpus=os.cpu_count() or 1)
    if json_output:
        document = {
            "yaml": text,
            "differences": told.differences(),
            "counts": told.counts(),
            "problems": [problem.document() for problem in examination.wrong],
            "warnings": [warning.document() for warning in examination.warnings],
        }
        print(json.dumps(document, indent=2))
    else:
        print(text, end="")
    _summarize(told, examination, json_output)
    return 1 if examination.wrong or told.left else 0


def _summarize(told: _Told, examination: Examination, json_output: bool) -> None:
    """Problems first, then what is weaker, then the numbers."""
    if not json_output:
        for problem in examination.wrong:
            print(problem, file=sys.stderr)
        for warning in examination.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    for found in told.left:
        about = f"{found.connector}: " if found.connector else ""
        print(one_line(f"weaker than it was ({found.id}): {about}{found}"), file=sys.stderr)
    number = told.counts()
    line = (
        f"mta: {number['contracts']} contracts, {number['differences']} differences,"
        f" {number['weaker']} of them weaker than before, {number['accepted']} of these accepted"
    )
    if told.left:
        line += "; look at each, then say --accept ID for those that may be so, or --accept all"
    print(line, file=sys.stderr)


def _documents(file: str) -> Iterator[object]:
    """Every JSON value of a file: the output of two cmdlets may stand in one, one behind the other."""
    text, decoder, at = _read(file).lstrip("\ufeff"), json.JSONDecoder(), 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        try:
            value, at = decoder.raw_decode(text, at)
        except ValueError as error:
            raise UsageError(f"{file}: is no JSON: {error}") from error
        except RecursionError:
            raise UsageError(f"{file}: is nested too deep") from None
        yield value


def _read(file: str) -> str:
    try:
        raw = Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror or error}") from error
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):  # what Windows PowerShell writes with `>`
        return raw.decode("utf-16", "replace")
    return raw.decode("utf-8", "replace")
