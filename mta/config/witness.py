"""`witness` of a connector: where a partner's witness of our log is asked, and by which key it is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, PlainValidator, WithJsonSchema

from mta.config import values
from mta.config.files import Files
from mta.config.problems import Path, Report, did_you_mean, shown
from mta.config.words import FilePath, Keys, optional
from mta.contract.protection import Witness
from mta.errors import TlogError
from mta.rfc.tlog.note import KeyType, VerifierKey, read_key

_PATH: Path = ("protection", "log", "witnesses")


def _url(value: object) -> str:
    """Without the slash at its end; `/add-checkpoint` follows."""
    given = values.text(value, "a URL like https://portal.example/log").rstrip("/")
    parts = urlsplit(values.token_url(given))
    if parts.query:
        raise values.ValueFault(f"{shown(given)} has a query", "write it like https://portal.example/log")
    return given


def _key(value: object) -> VerifierKey:
    given = values.text(value, "the key of a witness, NAME+ID+BASE64")
    try:
        key = read_key(given)
    except TlogError as error:
        raise values.ValueFault(str(error), "`mta log head` of the partner shows it as its witness key") from None
    if key.type is not KeyType.COSIGNATURE:
        raise values.ValueFault(f"{key.name} is the key of a log, not of a witness")
    return key


WitnessUrl = Annotated[str, PlainValidator(_url), WithJsonSchema({"type": "string", "pattern": "^https?://"})]
WitnessKey = Annotated[VerifierKey, PlainValidator(_key), WithJsonSchema({"type": "string"})]


class WitnessKeys(Keys):
    """The partner's witness of our log."""

    url: WitnessUrl = Field(description="Where it is asked, without `/add-checkpoint`; https, or http on this machine.")
    key: WitnessKey = Field(description="Its key, NAME+ID+BASE64: what it countersigns is believed by it.")
    ca: FilePath | None = optional("PEM file of the CAs for `url`, or `system` (the default).")


def build_witnesses(names: Sequence[str], known: Mapping[str, WitnessKeys | None], files: Files) -> tuple[Witness, ...]:
    """The witnesses that our log asks; those of whom nothing says where are none yet (`check_witnesses` tells)."""
    found = []
    for name in dict.fromkeys(names):
        if keys := known.get(name):
            ca = files.anchors(keys.ca, ("connectors", name, "witness", "ca")) if keys.ca else None
            found.append(Witness(name, keys.url, keys.key, ca))
    return tuple(found)


def check_witnesses(
    names: Sequence[str], known: Mapping[str, WitnessKeys | None], connectors: frozenset[str], report: Report
) -> None:
    """Report witnesses that are no partners, that nobody can ask, or that are one and the same."""
    seen: dict[bytes, str] = {}
    for n, name in enumerate(names):
        if name not in connectors:
            report.problem((*_PATH, n), f"there is no connector {name}", did_you_mean(name, connectors))
            continue
        keys = known.get(name)
        if keys is None:
            if report.intact(("connectors", name)):
                hint = f"write connectors.{name}.witness: {{url, key}}"
                report.warning((*_PATH, n), f"nothing says where {name} is asked: it is no witness yet", hint)
            continue
        if keys.key.key in seen:
            text = f"{name} is the witness that {seen[keys.key.key]} is already: two that see as one"
            report.problem((*_PATH, n), text, "a witness is a log's own once")
        seen.setdefault(keys.key.key, name)
    for name, keys in known.items():
        if keys is not None and name not in names:
            text = "a witness that our log does not ask"
            report.warning(("connectors", name, "witness"), text, "name it in protection.log.witnesses")
