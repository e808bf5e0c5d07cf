"""connectors.yaml from disk: one examination finds every problem, and a configuration if there is none."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mta.config.files import Files, Finding, read
from mta.config.marks import Document, parse
from mta.config.problems import Marks, Problem, Report, in_order
from mta.config.settings import build, check
from mta.config.validate import validate
from mta.config.workshop import Workshop
from mta.contract.ailments import mark
from mta.contract.configuration import Configuration
from mta.contract.watch import Stamp
from mta.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found: a configuration exactly if there are no problems.

    `ailments` are problems that stop one direction of one connector, not the whole (contract/ailments.py).
    `marks` tells where each part stands, `written` how the names of our domains are spelled there, `files` which files
    were read beside it.
    """

    configuration: Configuration | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    marks: Marks = field(default_factory=lambda: Marks(""))
    written: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Stamp] = field(default_factory=dict)
    ailments: tuple[Problem, ...] = ()

    @property
    def wrong(self) -> tuple[Problem, ...]:
        """Problems and ailments, in the order of the file."""
        return tuple(in_order((*self.problems, *self.ailments)))


def load(path: str, *, now: float, cpus: int) -> Configuration:
    """The configuration in the file `path`, judged at epoch second `now`; `workers: auto` means `cpus`.

    Raises ConfigurationError with every problem.
    """
    return _good(examine(path, now=now, cpus=cpus))


def load_text(text: str, path: str, *, now: float, cpus: int) -> Configuration:
    """The same for text that would stand in the file `path`."""
    return _good(examine_text(text, path, now=now, cpus=cpus))


def _good(examination: Examination) -> Configuration:
    if examination.configuration is None:
        raise ConfigurationError(tuple(map(str, examination.wrong)), examination.files)
    return examination.configuration


def examine(path: str, *, now: float, cpus: int) -> Examination:
    """Everything that can be said of the file `path`. Never raises for anything that stands in it."""
    finding = Finding()
    content = read(path, finding)
    if content is None:
        return _unusable([Problem(path, 1, 1, "", *fault) for fault in finding.faults])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        col = len(before) - before.rfind(b"\n")
        message = f"octet 0x{content[error.start]:02x} is not UTF-8"
        return _unusable([Problem(path, before.count(b"\n") + 1, col, "", message, "is this a text file?")])
    return examine_text(text, path, now=now, cpus=cpus)


def examine_text(text: str, path: str, *, now: float, cpus: int) -> Examination:
    """The same for text that would stand in the file `path`; the files it names are read beside that."""
    document = parse(text, path)
    if not isinstance(document.data, dict):
        if not document.problems:
            message = "the file is empty" if document.data is None else "expected an object with server and connectors"
            document.problems.append(Problem(path, 1, 1, "", message, "it begins with: server: {hostname: ...}"))
        return _unusable(document.problems)
    report = Report(document.marks)
    report.problems += document.problems
    named = _connector_names(document)
    settings = validate(document, report)
    if settings is None:
        return _unusable(report.problems)
    files = Files(os.path.dirname(os.path.abspath(path)), now, report)
    plan = build(settings, named, Workshop(report, files, cpus))
    check(plan, report)
    warnings, ailments = tuple(in_order(report.warnings)), tuple(in_order(report.ailments))
    if report.problems or plan.server is None:
        return Examination(None, tuple(in_order(report.problems)), warnings, files=files.stamps, ailments=ailments)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    told = tuple(str(warning) for warning in warnings)
    configuration = Configuration(
        plan.server,
        plan.domains,
        mark(plan.connectors, report.ailing),
        path,
        digest,
        told,
        files.stamps,
        plan.directory,
        plan.protection,
        tuple(map(str, ailments)),
    )
    return Examination(configuration, (), warnings, document.marks, plan.written, files.stamps, ailments)


def _unusable(problems: list[Problem]) -> Examination:
    return Examination(None, tuple(in_order(problems)), ())


def _connector_names(document: Document) -> frozenset[str]:
    connectors: Any = document.data.get("connectors")
    holes = {str(path[1]) for path in document.holes if len(path) == 2 and path[0] == "connectors"}
    return frozenset(connectors if isinstance(connectors, dict) else ()) | holes
