"""The JSON Schema of a whole stack file, for editors: draft 2020-12, checked in as docs/stack.schema.json."""

from __future__ import annotations

import json
from typing import Any

from slipway.settings.base import NAMESPACE
from slipway.settings.sections import Settings

DIALECT = "https://json-schema.org/draft/2020-12/schema"
REF = "#/$defs/{model}"


def schema() -> dict[str, Any]:
    """The schema, as JSON-able data. It checks shapes; what spans several keys is for `slipway check`."""
    ours = Settings.model_json_schema(ref_template=REF)
    definitions = ours.pop("$defs", {})
    fields = ours["properties"]
    fields["model"] = {
        "anyOf": [fields["model"] | {}, {"type": "string", "description": "A name of the catalogue."}],
        "description": fields["model"].pop("description", "The model."),
    }
    one_or_more = fields["gpu"].pop("anyOf")
    fields["gpu"]["anyOf"] = [{"type": "string", "description": "One name, or auto."}, *one_or_more]
    properties = {f"{NAMESPACE}:{name}": field for name, field in sorted(fields.items())}
    return {
        "$schema": DIALECT,
        "title": "Slipway stack file",
        "description": "Pulumi.<stack>.yaml of a Slipway project.",
        "type": "object",
        "properties": {
            "config": {
                "type": "object",
                "description": "Slipway's settings; keys of other namespaces belong to other tools.",
                "properties": properties,
                "required": [f"{NAMESPACE}:{name}" for name in ours["required"]],
                "propertyNames": {
                    "anyOf": [{"enum": sorted(properties)}, {"pattern": f"^(?!{NAMESPACE}:)[^:]+:.+$"}],
                },
            },
            "encryptionsalt": {"type": "string", "description": "Pulumi's own."},
            "secretsprovider": {"type": "string", "description": "Pulumi's own."},
            "encryptedkey": {"type": "string", "description": "Pulumi's own."},
            "environment": {"description": "Pulumi's own."},
        },
        "required": ["config"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def schema_text() -> str:
    """The schema as the file holds it: two spaces, sorted keys, one newline at the end."""
    return json.dumps(schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
