from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest

from mta.config import jsonschema
from mta.config.limits import DESCRIPTIONS, MAY_BE_ZERO, kind
from mta.config.validate import known_keys
from mta.contract.limits import Limits
from tests.unit.config.support import built, examined, lines

DOCS = Path(__file__).parents[3] / "docs"
FIELDS = {field.name: field for field in dataclasses.fields(Limits)}


def limit(name: str, value: str) -> str:
    return f"server: {{hostname: a.example, limits: {{{name}: {value}}}}}"


def test_the_json_schema_in_docs_is_fresh():
    text = (DOCS / "connectors.schema.json").read_text(encoding="utf-8")
    assert text == jsonschema.render(), "run: python -m mta.config.jsonschema > docs/connectors.schema.json"


def test_every_key_is_described_and_no_object_takes_unknown_keys():
    document = jsonschema.document()
    for name, part in {"Settings": document, **document["$defs"]}.items():
        assert part["additionalProperties"] is False, name
        for key, described in part["properties"].items():
            object_ = document["$defs"].get(described.get("$ref", "").rpartition("/")[2], {})
            assert described.get("description") or object_.get("description"), f"{name}.{key}"
    assert '"null"' not in json.dumps(document)


def test_every_limit_is_a_key_with_its_default():
    assert list(DESCRIPTIONS) == list(FIELDS)
    assert known_keys(("server", "limits")) == list(FIELDS)
    assert built("server: {hostname: a.example, limits: {}}").server.limits == Limits()


@pytest.mark.parametrize("name", FIELDS)
def test_every_limit_can_be_set_and_refuses_nonsense(name: str):
    written, value = {"switch": ("false", False), "share": ("0.5", 0.5), "size": ("7", 7), "count": ("7", 7)}.get(
        kind(FIELDS[name]), ("7s", 7.0)
    )
    partner = {"soft_errors": ", hard_errors: 9", "hard_errors": ", soft_errors: 7", "retry_max": ", retry_min: 1"}
    found = built(limit(name, written + partner.get(name, ""))).server.limits
    assert getattr(found, name) == value
    for nonsense in ("-1", "[]", "x"):
        assert len(lines(examined(limit(name, nonsense)))) == 1
    if kind(FIELDS[name]) != "switch":
        assert (lines(examined(limit(name, "0"))) == []) == (name in MAY_BE_ZERO)


def shown_default(field: dataclasses.Field[Any]) -> str:
    value = field.default
    if kind(field) != "duration":
        return str(value).lower()
    unit, seconds = next((u, s) for u, s in (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)) if value % s == 0)
    return f"{value // seconds:g}{unit}"


def test_the_table_of_limits_in_docs_is_fresh():
    text = (DOCS / "connectors.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \| (.+) \|$", text, re.MULTILINE)
    assert rows == [(name, shown_default(field), DESCRIPTIONS[name]) for name, field in FIELDS.items()]


def test_every_key_of_the_schema_is_explained_in_docs():
    text = (DOCS / "connectors.md").read_text(encoding="utf-8")
    keys = {key for part in jsonschema.document()["$defs"].values() for key in part["properties"]}
    assert {key for key in keys if f"`{key}`" not in text} == set()


def test_the_examples_in_docs_are_yaml_that_can_be_used(tmp_path: Path):
    text = (DOCS / "connectors.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(examples) >= 6
    for example in examples:
        server = "" if re.search(r"^server:", example, re.MULTILINE) else "server: {hostname: mx.contoso.example}\n"
        problems = [p for p in examined(server + example, tmp_path).problems if "No such file" not in p.message]
        assert problems == [], example
