"""Property paths as Pulumi writes them, and the differences between two property values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from bootstrap.plugin.codec import UNKNOWN, PropertyPath

Kind = Literal["add", "delete", "update"]


@dataclass(frozen=True)
class Change:
    """One difference. `of_inputs` is false for what differs in the world, not in the program (drift, expiry)."""

    path: PropertyPath
    kind: Kind
    of_inputs: bool = True


def format_path(path: PropertyPath) -> str:
    """`("desired", "packages", 2, "version")` to `desired.packages[2].version`; other keys are quoted: `a["b.c"]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif not part or any(character in part for character in '."[]'):
            text += '["' + part.replace("\\", "\\\\").replace('"', '\\"') + '"]'
        else:
            text += f".{part}" if text else part
    return text


def changes(old: Any, new: Any, path: PropertyPath = ()) -> Iterator[Change]:
    """Differences leaf by leaf, lists by position; an unknown new value counts as an update."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old:
            if key not in new:
                yield Change((*path, key), "delete")
            else:
                yield from changes(old[key], new[key], (*path, key))
        yield from (Change((*path, key), "add") for key in new if key not in old)
    elif isinstance(old, list) and isinstance(new, list):
        for index, (before, after) in enumerate(zip(old, new, strict=False)):
            yield from changes(before, after, (*path, index))
        yield from (Change((*path, index), "delete") for index in range(len(new), len(old)))
        yield from (Change((*path, index), "add") for index in range(len(old), len(new)))
    elif new is UNKNOWN or isinstance(old, bool) != isinstance(new, bool) or old != new:
        yield Change(path, "update")
