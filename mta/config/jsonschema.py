"""The JSON Schema of connectors.yaml, for editors: `python -m mta.config.jsonschema > docs/connectors.schema.json`."""

from __future__ import annotations

import json
import sys
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from mta.config.settings import Settings


class _Schema(GenerateJsonSchema):
    """A key that was not written is simply not there: no `null` appears in the schema."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found, default = self.generate_inner(schema["schema"]), schema.get("default")
        if isinstance(default, str | int | float) or (isinstance(default, list) and _is_words(default)):
            return {**found, "default": default}
        return found  # an object's defaults stand at its own keys


def _is_words(entries: list[Any]) -> bool:
    return all(isinstance(entry, str) for entry in entries)


def document() -> dict[str, Any]:
    """The schema as a JSON document."""
    found = Settings.model_json_schema(schema_generator=_Schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_without_titles(found),
        "title": "connectors.yaml",
    }


def _without_titles(node: Any) -> Any:
    """Pydantic's generated titles say nothing that the keys do not say."""
    if isinstance(node, dict):
        return {
            key: _without_titles(value)
            for key, value in node.items()
            if not (key == "title" and isinstance(value, str))
        }
    return [_without_titles(one) for one in node] if isinstance(node, list) else node


def render() -> str:
    """The text of docs/connectors.schema.json."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
