"""What the commands of protected mail and files share: reading their words, and showing items."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from mta.config.problems import did_you_mean
from mta.config.values import ValueFault, duration, moment
from mta.contract.protection import RECIPIENTS, Label, Protection
from mta.contract.readers import reader_name
from mta.errors import KeyAway, MtaError, StorageError, UsageError
from mta.model.protected import Actor, Grant, Item
from mta.policy.rights import table
from mta.rfc.smtp.address import AddressError


def administrator() -> Actor:
    """Whoever gives the command, by the account of this machine."""
    return Actor(f"account {getpass.getuser()}", "console")


def read_reader(text: str) -> str:
    """A reader as grants have it. Raises UsageError."""
    try:
        return reader_name(text)
    except AddressError as error:
        raise UsageError(f"{error}; a reader is an address, @domain or `internal`") from None


def one_label(protection: Protection, id: str) -> Label:
    """The label of this name. Raises UsageError with the nearest."""
    if id not in protection.labels:
        known = ", ".join(protection.labels) or "none"
        near = did_you_mean(id, protection.labels) or f"known: {known}"
        raise UsageError(f"there is no label {id} ({near})")
    return protection.labels[id]


def readers_of(label: Label, given: Sequence[str]) -> tuple[str, ...]:
    """Whom a label means with these recipients. Raises UsageError if it means nobody."""
    named = tuple(read_reader(one) for one in given)
    fixed = tuple(one for one in label.readers if one != RECIPIENTS)
    if RECIPIENTS in label.readers and not named and not fixed:
        raise UsageError(f"the label {label.id} is for whom --to names, and it named nobody")
    if named and RECIPIENTS not in label.readers:
        raise UsageError(f"the label {label.id} is for {', '.join(fixed)}; --to cannot add to it")
    return tuple(dict.fromkeys((*named, *fixed)))


def life(text: str) -> float:
    """Seconds from a word like 30d; 0 or never: no end. Raises UsageError."""
    if text in ("0", "never"):
        return 0.0
    try:
        return duration(text)
    except ValueFault as fault:
        raise UsageError(f"{fault}" + (f" ({fault.hint})" if fault.hint else "")) from None


def end_at(text: str, now: float) -> float:
    """An epoch second from a duration, a date or `never` (0). Raises UsageError."""
    if text[:4].isdigit() and text[4:5] == "-":
        try:
            return moment(text)
        except ValueFault as fault:
            raise UsageError(str(fault)) from None
    seconds = life(text)
    return now + seconds if seconds else 0.0


def item_document(item: Item, grants: list[dict[str, object]]) -> dict[str, object]:
    """An item as JSON: the shape of `mta protect --json`."""
    return {
        "item": item.id,
        "name": item.name,
        "kind": item.kind,
        "label": item.label,
        "owner": item.owner,
        "readers": [one["reader"] for one in grants if one["reader"] != item.owner],
        "rights": next((one["rights"] for one in grants if one["reader"] != item.owner), table(())),
        "expires": stamp(item.not_after),
        "created": stamp(item.created),
        "state": item.state.value,
        "revocation": item.revocation,
        "root_key": item.key,
        "size": item.size,
    }


def granted_to(grants: Iterable[Grant]) -> list[dict[str, object]]:
    """Grants as JSON, revoked ones left out."""
    return [
        {
            "reader": grant.reader,
            "rights": table(grant.rights),
            "expires": stamp(grant.not_after),
            "granted": stamp(grant.granted_at),
            "by": grant.granted_by,
            **({"hidden": True} if grant.hidden else {}),
        }
        for grant in grants
        if not grant.revoked_at
    ]


def stamp(epoch: float) -> str | None:
    """RFC 3339 in UTC; None for 0, which is never."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if epoch else None


def event_line(event: dict[str, Any]) -> str:
    """An entry of the log in one line."""
    if event.get("redacted"):
        return f"#{event['seq']}  (its story was erased)"
    line = f"#{event['seq']}  {stamp(event['time'])}  {event['op']} {event['result']}"
    for key in ("item", "kid", "call", "subject", "method", "ip", "reason"):
        line += f"  {key}={event[key]}" if key in event else ""
    return line


def told_refusal(what: str, error: MtaError, json_output: bool) -> int:
    """Say that something did not open; 1."""
    later = isinstance(error, KeyAway | StorageError)
    word = getattr(error, "word", "") or ("later" if later else "tampered")
    if json_output:
        print(json.dumps({"opened": False, "word": word, "later": later, "reason": str(error)}, indent=2))
    advice = "; try again later" if later else ""
    print(f"mta: {what} does not open: {error}{advice}", file=sys.stderr)
    return 1
