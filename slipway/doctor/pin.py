"""Writes the type of servers that can be had into a stack file, and leaves all else of it as it is, comments too."""

from __future__ import annotations

import yaml

from slipway.errors import PlanError


def pinned(text: str, file: str, section: str, name: str, value: str) -> str:
    """`text` with `name: value` in `slipway:<section>`. Raises PlanError where the file has no such section.

    >>> pinned("config:\\n  slipway:upcloud:\\n    zone: fi-hel2 # near\\n", "f", "upcloud", "plan", "A")
    'config:\\n  slipway:upcloud:\\n    plan: A\\n    zone: fi-hel2 # near\\n'
    >>> pinned("config: {slipway:upcloud: {plan: A, zone: b}}\\n", "f", "upcloud", "plan", "B")
    'config: {slipway:upcloud: {plan: B, zone: b}}\\n'
    """
    found = _child(_child(yaml.compose(text, yaml.SafeLoader), "config"), f"slipway:{section}")
    if not isinstance(found, yaml.MappingNode) or not found.value:
        what = f"there is no slipway:{section} to write {name} into"
        raise PlanError(what, where=file, fix=f"Write {name}: {value} there yourself")
    old = _child(found, name)
    if old is not None:
        return text[: old.start_mark.index] + value + text[old.end_mark.index :]
    first = found.value[0][0].start_mark
    added = f"{name}: {value}, " if found.flow_style else f"{name}: {value}\n{' ' * first.column}"
    return text[: first.index] + added + text[first.index :]


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    return next((value for name, value in pairs if name.value == key), None)
