"""When mail is protected: `protection.triggers` and `outbound.protect`, how they are built and what is checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from mta.config import values
from mta.config.problems import Path, Report, did_you_mean, shown
from mta.config.words import Keys, Size, Text, optional
from mta.contract.connectors import Connector
from mta.contract.outbound import Protect
from mta.contract.protection import Trigger
from mta.contract.server import Server

_CONDITIONS = ("subject", "header", "sensitivity", "words", "pattern", "size")
_LONGEST_PATTERN = 500


def _pattern(value: object) -> re.Pattern[str]:
    given = values.text(value, "a regular expression")
    if len(given) > _LONGEST_PATTERN:
        raise values.ValueFault(f"a pattern of {len(given)} characters", f"at most {_LONGEST_PATTERN}")
    try:
        return re.compile(given)
    except (re.error, RecursionError, OverflowError) as error:
        hint = "a regular expression as Python has them"
        raise values.ValueFault(f"{shown(given)} is no pattern: {error}", hint) from None


Pattern = Annotated[re.Pattern[str], PlainValidator(_pattern), WithJsonSchema({"type": "string"})]


class TriggerKeys(Keys):
    """A mark of mail that is to be protected; all conditions that are written must hold."""

    label: Text = Field(description="The label it is protected with.")
    subject: Text | None = optional("A tag in the subject, in any case; it is taken out.")
    header: dict[str, Text] | None = optional("Header fields with the value they must have, in any case.")
    sensitivity: Text | None = optional("The value of the Sensitivity field (RFC 2156), in any case.")
    words: list[Text] | None = optional("Words or phrases of subject and text; one of them is enough.")
    pattern: Pattern | None = optional("A regular expression that is found in subject or text.")
    size: Size | None = optional("Octets of the message, or more.")


class ProtectKeys(Keys):
    """When mail goes to the portal."""

    when: Literal["never", "triggers", "unencrypted", "always"] = optional(
        "`triggers`: mail with a mark of protection.triggers; `unencrypted`: also what would leave neither encrypted "
        "nor over verified TLS; `always`: all of it.",
        "never",
    )
    label: Text | None = optional("The label of what no trigger marks; default: `default`'s, or the only one there is.")


def build_trigger(keys: TriggerKeys) -> Trigger:
    """One of `protection.triggers`."""
    return Trigger(
        label=keys.label,
        subject=keys.subject or "",
        header=tuple((name.lower(), value) for name, value in (keys.header or {}).items()),
        sensitivity=keys.sensitivity or "",
        words=tuple(keys.words or ()),
        pattern=keys.pattern,
        size=keys.size,
    )


def build_protect(keys: ProtectKeys) -> Protect:
    """`outbound.protect`; which label is meant where none is written is known later."""
    return Protect(keys.when, keys.label or "")


def with_labels(connectors: Mapping[str, Connector], labels: Mapping[str, object]) -> dict[str, Connector]:
    """The connectors, each that may protect with its label: `default`'s where it has none, or the only one."""
    only = next(iter(labels)) if len(labels) == 1 else ""
    usual = connectors["default"].outbound.protect.label or only

    def named(connector: Connector) -> Connector:
        outbound = connector.outbound
        if outbound.protect.label or not outbound.may_protect:
            return connector
        return replace(connector, outbound=replace(outbound, protect=replace(outbound.protect, label=usual)))

    return {name: named(connector) for name, connector in connectors.items()}


def check_triggers(triggers: list[TriggerKeys], labels: Mapping[str, object], report: Report) -> None:
    """Report labels that do not exist, and marks that every mail bears."""
    for n, trigger in enumerate(triggers):
        path: Path = ("protection", "triggers", n)
        _known(trigger.label, labels, report, (*path, "label"))
        if not any(getattr(trigger, key) for key in _CONDITIONS):
            report.problem(
                path, "nothing is asked for: every mail would match", f"write one of {', '.join(_CONDITIONS)}"
            )
        for name in trigger.header or ():
            if not re.fullmatch(r"[!-9;-~]+", name):
                report.problem((*path, "header", name), f"{shown(name)} is no name of a header field")


def check_protect(
    connector: Connector, labels: Mapping[str, object] | None, server: Server | None, report: Report
) -> None:
    """Report a connector that sends to a portal that is not there, or with a label that is none.

    `labels` is None where the file has no `protection`.
    """
    outbound = connector.outbound
    if not connector.own_outbound or not outbound.may_protect:
        return
    path: Path = ("connectors", connector.name, "outbound", "protect")
    portal_only = outbound.protect.when == "never"
    where: Path = (*path[:-1], "smime", "without_certificate") if portal_only else (*path, "when")
    if labels is None:
        report.problem(where, "nothing can be protected here", "write protection with a label and a root key")
    elif outbound.protect.label:
        _known(outbound.protect.label, labels, report, (*path, "label"))
    elif labels and outbound.protect.when != "triggers":
        report.problem(where, "which label is meant is not said", f"write protect.label: {' or '.join(labels)}")
    elif not labels:
        report.problem(where, "there is no label", "write protection.labels")
    if server is not None and server.portal is None:
        report.problem(where, "readers have no page to go to", "write server.portal with address and url")


def _known(label: str, labels: Mapping[str, object], report: Report, path: Path) -> None:
    if label not in labels:
        hint = did_you_mean(label, list(labels)) or f"known: {', '.join(labels) or 'none'}"
        report.problem(path, f"there is no label {label}", hint)
