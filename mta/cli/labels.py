"""`mta label`: what the labels of the configuration mean, and how far each right binds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mta.app.vault import protection_of
from mta.cli.ask import look
from mta.cli.paint import duration
from mta.cli.vault_words import one_label, readers_of
from mta.contract.protection import Label
from mta.model.rights import Enforcement, Right
from mta.policy.rights import enforcement, table

_MEANS = {
    Right.VIEW: "read it",
    Right.VIEWRIGHTSDATA: "see which rights they have",
    Right.EDIT: "change it",
    Right.DOCEDIT: "change a document",
    Right.COMMENT: "comment on it",
    Right.PRINT: "print it",
    Right.EXTRACT: "copy from it",
    Right.OBJMODEL: "let programs read it",
    Right.EXPORT: "have it in clear, or its content key",
    Right.REPLY: "answer",
    Right.REPLYALL: "answer to all",
    Right.FORWARD: "pass it on",
    Right.EDITRIGHTSDATA: "change who may do what",
    Right.OWNER: "do everything with it",
}
_HOW = {
    Enforcement.ENFORCED: "without the right, portal and key server do not do it",
    Enforcement.DECLARED: "the reader's program is asked to keep it",
}


def show_list(config: str, json_output: bool) -> int:
    """Print all labels, the most confidential first. Raises UsageError."""
    labels = sorted(protection_of(look(config)).labels.values(), key=lambda label: (-label.rank, label.id))
    rows = [_document(label) for label in labels]
    if json_output:
        print(json.dumps(rows, indent=2))
    for row in [] if json_output else rows:
        ends = f"for {duration(row['expires'])}" if row["expires"] else "without end"
        print(f"{row['label']:16} rank {row['rank']}  {', '.join(row['rights'])}")
        print(f"  for {', '.join(row['readers'])}, {ends}")
    if not rows and not json_output:
        print("there is no label: write protection.labels")
    return 0


def show(id: str, config: str, json_output: bool) -> int:
    """Print one label with all that it says. Raises UsageError."""
    row = _document(one_label(protection_of(look(config)), id))
    print(json.dumps(row, indent=2) if json_output else "\n".join(_lines(row)))
    return 0


def explain(id: str, to: tuple[str, ...], config: str, json_output: bool) -> int:
    """Print who could do what with something of this label for `to`, right by right. Raises UsageError."""
    label = one_label(protection_of(look(config)), id)
    readers = readers_of(label, to)
    rights: dict[str, dict[str, Any]] = {
        right.value: {
            "granted": right in label.rights,
            "means": _MEANS[right],
            "how": enforcement(right).value,
        }
        for right in Right
    }
    if json_output:
        print(json.dumps({"label": label.id, "readers": readers, "rights": rights}, indent=2))
        return 0
    print(f"{label.id}: for {', '.join(readers)}")
    for word, sentence in rights.items():
        may = "may" if sentence["granted"] else "may not"
        print(f"  {word:15} they {may} {sentence['means']} ({sentence['how']}: {_HOW[Enforcement(sentence['how'])]})")
    return 0


def _document(label: Label) -> dict[str, Any]:
    marking = label.marking
    return {
        "label": label.id,
        "name": dict(label.names),
        "rank": label.rank,
        "rights": table(label.rights),
        "readers": list(label.readers),
        "expires": label.expires,
        "second_channel": label.second_channel,
        "channels": list(label.channels) if label.second_channel != "none" else [],
        "require_pop": label.demands_dpop,
        "marking": {"header": marking.header, "footer": marking.footer, "watermark": marking.watermark},
    }


def _lines(row: dict[str, Any]) -> Iterator[str]:
    yield f"{row['label']}  rank {row['rank']}"
    for language, name in row["name"].items():
        yield f"  {language}: {name}"
    yield f"  readers  {', '.join(row['readers'])}"
    yield f"  expires  {duration(row['expires']) + ' after sealing' if row['expires'] else 'never'}"
    if row["channels"]:
        yield f"  a second proof is {row['second_channel']}: {', '.join(row['channels'])}"
    if row["require_pop"]:
        yield "  programs must prove that they own their token (DPoP)"
    for where, text in row["marking"].items():
        if text:
            yield f"  {where:8} {text}"
    for right, how in row["rights"].items():
        yield f"  {right:15} {how}"
