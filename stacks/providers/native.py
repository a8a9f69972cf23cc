"""Arguments of a cloud SDK's own resources, checked against the SDK's own types.

SDKs that Pulumi generates take a wrong name with a traceback, or a wrong nested one without a word. Their argument
classes say what there is: names and whether they are needed in the signature, types and nested classes in annotations.
"""

from __future__ import annotations

import collections.abc
import difflib
import enum
import inspect
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, ForwardRef, Union, cast, get_args, get_origin

import pulumi

from slipway.errors import PlanError

PLAIN = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}

INCOMPLETE = {"VirtualMachineSizeTypes"}
"""enumerations of Azure's that it stopped to write on: they have no size of today's"""

Problem = tuple[str, str]
"""the path of an argument, and what is wrong with it"""


def problems(kind: type, given: Mapping[str, Any], *, complete: bool = True, at: str = "") -> Iterator[Problem]:
    """What is wrong with arguments of `kind`, an SDK's `…Args` class: unknown names, wrong types, and, when `complete`,
    those that are needed and are not there. Values that are outputs are not looked into.
    """
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    resource = kind.__name__.removesuffix("Args")
    module = kind.__module__
    for name, value in given.items():
        if name in parameters:
            yield from _judge(parameters[name].annotation, value, f"{at}{name}", module, complete)
            continue
        near = difflib.get_close_matches(name, parameters, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"It takes {', '.join(parameters)}"
        yield f"{at}{name}", f"{resource} has no such argument. {hint}"
    if complete:
        for name, parameter in parameters.items():
            if parameter.default is inspect.Parameter.empty and name not in given:
                yield f"{at}{name}", f"{resource} needs this argument"


def _judge(annotation: Any, value: object, path: str, module: str, complete: bool) -> Iterator[Problem]:
    """An input's annotation is a union whose first member is the plain type; the others are its promises, and what
    enumeration the value is one of.

    Nested classes are named as `module`, where the annotation is, knows them.
    """
    members = get_args(annotation) if get_origin(annotation) is Union else (annotation,)
    wanted, choice = members[0], _choice(members, module)
    many, named = get_origin(wanted) is collections.abc.Sequence, get_origin(wanted) is collections.abc.Mapping
    if isinstance(value, pulumi.Output):
        return
    if choice is not None:
        if value not in choice:
            yield path, f"this is none of {', '.join(choice)}"
    elif many and (not isinstance(value, Sequence) or isinstance(value, str)):
        yield path, "this is no list"
    elif (named or isinstance(wanted, ForwardRef)) and not isinstance(value, Mapping):
        yield path, "this is no mapping"
    elif isinstance(wanted, ForwardRef):
        inner = getattr(import_module(module), wanted.__forward_arg__)
        yield from problems(inner, cast("Mapping[str, Any]", value), complete=complete, at=f"{path}.")
    elif many:
        for index, item in enumerate(cast("Sequence[object]", value)):
            yield from _judge(get_args(wanted)[0], item, f"{path}[{index}]", module, complete)
    elif named:
        for name, item in cast("Mapping[str, object]", value).items():
            yield from _judge(get_args(wanted)[1], item, f"{path}.{name}", module, complete)
    elif wanted in PLAIN and type(value) is not wanted and not (wanted is float and type(value) is int):
        yield path, f"this is not {PLAIN[wanted]}"


def _choice(members: tuple[Any, ...], module: str) -> tuple[str, ...] | None:
    """The values of the enumeration that an annotation names; None where it names none.

    pulumi-aws was given its enumerations by hand, and they lack values: newer instance types, a strategy of placement.
    """
    if module.startswith("pulumi_aws."):
        return None
    for member in members:
        # `Output[T]` is no name.
        if (
            isinstance(member, ForwardRef)
            and member.__forward_arg__.isidentifier()
            and member.__forward_arg__ not in INCOMPLETE
        ):
            found = getattr(import_module(module), member.__forward_arg__)
            if issubclass(found, enum.Enum):
                return tuple(str(one.value) for one in found)
    return None


def laid_over(kind: type, written: Mapping[str, Any], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`written` with the stack file's own arguments over it; mappings are merged, all else is replaced.

    Raises PlanError for arguments that the SDK would not take. `where` is the key of the stack file.
    """
    wrong = [f"{path}: {what}" for path, what in problems(kind, given, complete=False)]
    if wrong:
        raise PlanError("; ".join(wrong), where=where, fix="Correct this, or take it out")
    return _merged(written, given)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(below)
    for name, value in above.items():
        old = both.get(name)
        both[name] = _merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both
