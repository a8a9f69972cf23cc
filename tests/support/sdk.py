"""What a program asked for, held against the argument classes of the SDK that it came from."""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any

from stacks.providers.native import problems
from tests.support.mocks import Asked, Graph

FREE = {"labels", "tags", "metadata", "resourceLabels", "nodeLabels"}
"""mappings whose keys are the user's, or the cloud's own words"""


def wrong_arguments(graph: Graph, package: str) -> dict[str, list[tuple[str, str]]]:
    """By resource of the package (`gcp`, `azure-native`): what its SDK would not take. Fails where there is none."""
    asked = [one for one in graph.resources if one.type.startswith(f"{package}:")]
    assert asked
    found = {one.key: list(problems(sdk_type(one), as_python(one.inputs))) for one in asked}
    return {key: wrong for key, wrong in found.items() if wrong}


def sdk_type(asked: Asked) -> type:
    """The SDK's class of arguments: that of `gcp:compute/instance:Instance` is pulumi_gcp.compute.InstanceArgs.

    Where a nested class has that name already, as in pulumi_azure_native, it is InstanceInitArgs.
    """
    package, module, kind = asked.type.split(":")
    inside = module.split("/", maxsplit=1)[0]
    path = f"pulumi_{package.replace('-', '_')}" + ("" if inside == "index" else f".{inside}")
    inner = import_module(path)
    found: type = getattr(inner, f"{kind}InitArgs", None) or getattr(inner, f"{kind}Args")
    return found


def as_python(value: Any) -> Any:
    """Names on the wire as the SDK has them: `natIp` is nat_ip, `diskSizeGB` disk_size_gb."""
    if isinstance(value, list):
        return [as_python(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "[secret]" in value:
        return as_python(value["[secret]"])
    return {snake(key): in_the_clear(item) if key in FREE else as_python(item) for key, item in value.items()}


def in_the_clear(value: Any) -> Any:
    """The value with secrets in it unwrapped."""
    if isinstance(value, dict):
        return value["[secret]"] if "[secret]" in value else {key: in_the_clear(item) for key, item in value.items()}
    return value


def snake(name: str) -> str:
    """A name of the wire in Python.

    >>> snake("publicIPAddress")
    'public_ip_address'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
