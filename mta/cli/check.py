"""`mta check`: every problem of the configuration, one a line."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

from mta.app.checks import examine_here
from mta.config.load import Examination
from mta.config.problems import in_order, one_line


def check(config: str, json_output: bool, dns: bool = False) -> int:
    """Examine the file `config` and print what was found; 0 if it can be used, else 2.

    With `dns` the records of our DKIM keys are looked up, too; 1 if mail signed now would not verify.
    Problems and warnings go to standard error, one a line; with `json_output` a document goes to standard output.
    """
    examination = examine_here(config)
    if dns and examination.configuration:
        examination = _with_dns(examination)
    if json_output:
        print(json.dumps(_document(examination), indent=2))
    else:
        _print(config, examination)
    if examination.configuration is None or examination.ailments:
        return 2
    return 1 if examination.problems else 0


def _with_dns(examination: Examination) -> Examination:
    from mta.cli.keys import published

    problems = published(examination)
    warnings = tuple(in_order((*examination.warnings, *problems.warnings)))
    return replace(examination, problems=tuple(problems.problems), warnings=warnings)


def _document(examination: Examination) -> dict[str, object]:
    return {
        "ok": examination.configuration is not None and not examination.wrong,
        "problems": [problem.document() for problem in examination.wrong],
        "warnings": [warning.document() for warning in examination.warnings],
    }


def _print(config: str, examination: Examination) -> None:
    for problem in examination.wrong:
        print(problem, file=sys.stderr)
    for warning in examination.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    configuration = examination.configuration
    if configuration and not examination.wrong:
        print(
            f"{one_line(config)}: good: {len(configuration.connectors)} connectors,"
            f" {len(configuration.domains)} domains"
        )
