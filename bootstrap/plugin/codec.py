"""Pulumi's property structs to plain Python values and back.

A struct marks secrets and unknowns inside its values, at any depth. Plain values carry no such marks: `decode` takes
them out and says at which paths they were, `encode` puts them back.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from google.protobuf import struct_pb2

from bootstrap.plugin.wire import OUTPUT, SECRET, SIGNATURE, UNKNOWN_MARK

PropertyPath: TypeAlias = tuple[str | int, ...]
Values: TypeAlias = dict[str, Any]

SHORTEST_SECRET = 8
"""Characters. Shorter clear texts are not looked for in other values: they would match by chance."""


class Unknown(enum.Enum):
    """The type of `UNKNOWN`, a value that only exists once something else was created."""

    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown.UNKNOWN


@dataclass(frozen=True)
class Properties:
    """Plain values, and the paths of those that are secret. A path covers everything below it."""

    values: Values
    secrets: frozenset[PropertyPath] = frozenset()

    @property
    def unknowns(self) -> frozenset[PropertyPath]:
        return frozenset(path for path, leaf in leaves(self.values) if leaf is UNKNOWN)

    @property
    def clear_texts(self) -> frozenset[str]:
        """The clear text of every secret that is long enough to be looked for."""
        return frozenset(
            leaf
            for path, leaf in leaves(self.values)
            if isinstance(leaf, str) and len(leaf) >= SHORTEST_SECRET and covered(path, self.secrets)
        )


def decode(struct: struct_pb2.Struct) -> Properties:
    """Take the marks out. A null in an object is left out: to Pulumi it is the same as a property that is not there."""
    secrets: set[PropertyPath] = set()
    values = _decode_fields(struct, (), secrets)
    return Properties(values, frozenset(secrets))


def encode(values: Values, secrets: Iterable[PropertyPath] = ()) -> struct_pb2.Struct:
    """Put the marks in; secret paths that `values` does not have are ignored."""
    struct = struct_pb2.Struct()
    _encode_fields(struct, values, (), frozenset(secrets))
    return struct


def taint(values: Values, clear_texts: Iterable[str]) -> frozenset[PropertyPath]:
    """Paths of the strings in `values` that contain one of `clear_texts`: what derives from a secret is one."""
    texts = tuple(clear_texts)
    return frozenset(
        path for path, leaf in leaves(values) if isinstance(leaf, str) and any(text in leaf for text in texts)
    )


def covered(path: PropertyPath, paths: frozenset[PropertyPath]) -> bool:
    """Is `path`, or a path above it, one of `paths`?"""
    return any(path[:length] in paths for length in range(1, len(path) + 1))


def leaves(value: Any, path: PropertyPath = ()) -> Iterator[tuple[PropertyPath, Any]]:
    """Every value that is neither an object nor a list, with its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def _decode_fields(struct: struct_pb2.Struct, path: PropertyPath, secrets: set[PropertyPath]) -> Values:
    decoded = {key: _decode(value, (*path, key), secrets) for key, value in struct.fields.items()}
    return {key: value for key, value in decoded.items() if value is not None}


def _decode(value: struct_pb2.Value, path: PropertyPath, secrets: set[PropertyPath]) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return UNKNOWN if value.string_value == UNKNOWN_MARK else value.string_value
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_decode(item, (*path, index), secrets) for index, item in enumerate(value.list_value.values)]
    if kind == "struct_value":
        return _decode_object(value.struct_value, path, secrets)
    return None


def _decode_object(struct: struct_pb2.Struct, path: PropertyPath, secrets: set[PropertyPath]) -> Any:
    signature = struct.fields[SIGNATURE].string_value if SIGNATURE in struct.fields else None
    if signature == SECRET:
        secrets.add(path)
        return _decode(struct.fields["value"], path, set())
    if signature == OUTPUT:
        secret = "secret" in struct.fields and struct.fields["secret"].bool_value
        if secret:
            secrets.add(path)
        return (
            _decode(struct.fields["value"], path, set() if secret else secrets) if "value" in struct.fields else UNKNOWN
        )
    return _decode_fields(struct, path, secrets)


def _encode_fields(
    struct: struct_pb2.Struct, values: Values, path: PropertyPath, secrets: frozenset[PropertyPath]
) -> None:
    for key, value in values.items():
        _encode(struct.fields[key], value, (*path, key), secrets)


def _encode(target: struct_pb2.Value, value: Any, path: PropertyPath, secrets: frozenset[PropertyPath]) -> None:
    if path in secrets:
        target.struct_value.fields[SIGNATURE].string_value = SECRET
        _encode(target.struct_value.fields["value"], value, path, frozenset())
    elif value is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif value is UNKNOWN:
        target.string_value = UNKNOWN_MARK
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, dict):
        target.struct_value.SetInParent()
        _encode_fields(target.struct_value, value, path, secrets)
    elif isinstance(value, list | tuple):
        target.list_value.SetInParent()
        for index, item in enumerate(value):
            _encode(target.list_value.values.add(), item, (*path, index), secrets)
    else:
        raise TypeError(f"{path}: a {type(value).__name__} is no property value")
