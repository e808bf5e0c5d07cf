"""`mta connectors import`: contracts out of other programs' settings."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mta.app import load
from mta.config.draft import UNNAMED_HOST, Draft, render
from mta.config.import_exchange import import_exchange
from mta.config.import_postfix import import_postfix
from mta.config.load import examine_text
from mta.errors import UsageError


def from_postfix(files: Sequence[str], config: str, json_output: bool) -> int:
    """Print the contracts of main.cf and of tables (tls_policy, transport); 1 if `mta check` finds problems in them.

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

    return _print(import_postfix(given, read), config, f"made of {', '.join(files)}", json_output)


def from_exchange(files: Sequence[str], config: str, json_output: bool) -> int:
    """Print the contracts of Get-InboundConnector and Get-OutboundConnector, as ConvertTo-Json wrote them.

    1 if `mta check` finds problems in them. For `config` see `from_postfix`. Raises UsageError.
    """
    documents = [document for file in files for document in _documents(file)]
    draft = import_exchange(documents)
    if not draft.connectors:
        raise UsageError(f"{', '.join(files)}: no connector of Exchange is in there")
    return _print(draft, config, f"made of {', '.join(files)}", json_output)


def _print(draft: Draft, config: str, title: str, json_output: bool) -> int:
    if draft.server["hostname"] == UNNAMED_HOST and Path(config).exists():
        draft.server["hostname"] = load(config).server.hostname
        draft.differences = [found for found in draft.differences if UNNAMED_HOST not in found.text]
    text = render(draft, title)
    examination = examine_text(text, config, now=time.time(), cpus=os.cpu_count() or 1)
    if json_output:
        told = {
            "yaml": text,
            "differences": [asdict(found) for found in draft.differences],
            "problems": [problem.document() for problem in examination.wrong],
            "warnings": [warning.document() for warning in examination.warnings],
        }
        print(json.dumps(told, indent=2))
    else:
        print(text, end="")
        for problem in examination.wrong:
            print(problem, file=sys.stderr)
        for warning in examination.warnings:
            print(f"warning: {warning}", file=sys.stderr)
    return 1 if examination.wrong else 0


def _documents(file: str) -> Iterator[Any]:
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
