"""The package schema that Pulumi asks for: for `pulumi package`, for `import` and for generated SDKs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from bootstrap.plugin.resource import Input, Output, Resource

NAME = "slipway"
VERSION = "0.1.0"
"""Of the protocol between programs and this provider. It is not an input of any resource: new code is no difference."""


def package_schema(resources: Iterable[Resource]) -> str:
    """The schema as JSON (https://www.pulumi.com/docs/iac/guides/building-extending/packages/schema/)."""
    return json.dumps(
        {"name": NAME, "version": VERSION, "resources": {resource.token: _resource(resource) for resource in resources}}
    )


def _resource(resource: Resource) -> dict[str, Any]:
    inputs = {known.name: _property(known) for known in resource.inputs}
    outputs = {known.name: _property(known) for known in resource.outputs}
    return {
        "description": resource.about,
        "inputProperties": inputs,
        "requiredInputs": [known.name for known in resource.inputs if known.required],
        "properties": {**inputs, **outputs},
        "required": [known.name for known in resource.outputs],
    }


def _property(known: Input | Output) -> dict[str, Any]:
    described: dict[str, Any] = {"type": known.type, "description": known.about}
    if known.type == "array":
        described["items"] = {"$ref": "pulumi.json#/Any"}
    if known.type == "object":
        described["additionalProperties"] = {"$ref": "pulumi.json#/Any"}
    if known.secret:
        described["secret"] = True
    if isinstance(known, Input) and known.replace:
        described["willReplaceOnChanges"] = True
    return described
