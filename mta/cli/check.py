"""`mta check`: every problem of the configuration, one a line."""

from __future__ import annotations

import json
import os
import sys
import time

from mta.config.load import Examination, examine
from mta.config.problems import one_line


def check(config: str, json_output: bool) -> int:
    """Examine the file `config` and print what was found; 0 if it can be used, else 2.

    Problems and warnings go to standard error, one a line; with `json_output` a document goes to standard output.
    """
    examination = examine(config, now=time.time(), cpus=os.cpu_count() or 1)
    if json_output:
        print(json.dumps(_document(examination), indent=2))
    else:
        _print(config, examination)
    return 0 if examination.configuration else 2


def _document(examination: Examination) -> dict[str, object]:
    return {
        "ok": examination.configuration is not None,
        "problems": [problem.document() for problem in examination.problems],
        "warnings": [warning.document() for warning in examination.warnings],
    }


def _print(config: str, examination: Examination) -> None:
    for problem in examination.problems:
        print(problem, file=sys.stderr)
    for warning in examination.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    found = examination.configuration
    if found:
        print(f"{one_line(config)}: good: {len(found.connectors)} connectors, {len(found.domains)} domains")
