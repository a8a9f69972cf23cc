"""AWS's API as botocore describes it and moto emulates it.

Before a call, every parameter is held against botocore's model of the service, which is AWS's own: names, what is
needed, and, other than botocore itself does, enumerations, patterns and limits. botocore checks types; moto then
answers as the service would, with what it checks itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from botocore import xform_name
from botocore.model import ListShape, MapShape, Shape, StructureShape

Answer = dict[str, Any]

CLIENTS: dict[tuple[str, str], Any] = {}
"""by service and region; each reads a model of some megabytes, and holds nothing of what it is asked"""

NOT_EMULATED = {"CreatePlacementGroup"}
"""operations that moto does not know, whose parameters are checked all the same"""


class Api:
    """AWS in one region, and what stands for what: values of the mocks, and the API's own for the same things."""

    def __init__(self, region: str) -> None:
        self.region = region
        self.known: dict[str, str] = {}
        self.called: list[str] = []

    def client(self, service: str) -> Any:
        if (service, self.region) not in CLIENTS:
            CLIENTS[service, self.region] = boto3.client(service, self.region)
        return CLIENTS[service, self.region]

    def __call__(self, service: str, operation: str, **parameters: Any) -> Answer:
        """One call with every parameter that has a value; fails for one that the service's model does not take."""
        given = without_none(parameters)
        client = self.client(service)
        shape = client.meta.service_model.operation_model(operation).input_shape
        wrong = list(misfits(shape, given, operation))
        assert not wrong, wrong
        self.called.append(operation)
        call = getattr(client, xform_name(operation))
        if operation in NOT_EMULATED:
            with pytest.raises(NotImplementedError):
                call(**given)
            return {}
        answer: Answer = call(**given)
        return answer

    def translated(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self.translated(item) for item in value]
        if isinstance(value, dict):
            return {key: self.translated(item) for key, item in value.items()}
        return self.known.get(value, value) if isinstance(value, str) else value


def misfits(shape: Shape, value: Any, path: str) -> Iterator[str]:
    """What a service's model does not take."""
    if isinstance(shape, StructureShape):
        for name in shape.required_members:
            if name not in value:
                yield f"{path}.{name} is needed"
        for name, item in value.items():
            if name not in shape.members:
                yield f"{path}.{name} is not known"
            else:
                yield from misfits(shape.members[name], item, f"{path}.{name}")
        return
    items: Mapping[Any, Any] | list[Any] | None = None
    if isinstance(shape, ListShape):
        items = value
        for index, item in enumerate(value):
            yield from misfits(shape.member, item, f"{path}[{index}]")
    elif isinstance(shape, MapShape):
        items = value
        for key, item in value.items():
            yield from misfits(shape.key, key, f"{path}.{key}")
            yield from misfits(shape.value, item, f"{path}.{key}")
    enum = getattr(shape, "enum", None)
    if enum and value not in enum:
        yield f"{path} is {value!r}, which is none of {', '.join(enum)}"
    size = len(items) if items is not None else len(value) if isinstance(value, str) else value
    least, most, pattern = (shape.metadata.get(name) for name in ("min", "max", "pattern"))
    if isinstance(size, int | float) and ((least is not None and size < least) or (most is not None and size > most)):
        yield f"{path} is {value!r}, outside of {least} to {most}"
    if pattern and isinstance(value, str) and re.fullmatch(python_pattern(pattern), value) is None:
        yield f"{path} is {value!r}, which does not match {pattern}"


def python_pattern(pattern: str) -> str:
    """Classes of Unicode, which Python's patterns do not have, as those of its own that hold more."""
    return re.sub(r"\\p\{[A-Za-z]+\}", r"\\w\\s", pattern)


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_none(item) for item in value]
    return value
