"""Drift as an output: pin to sentence, filled by `read` and emptied by the update that it asks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from bootstrap.plugin.codec import Values
from bootstrap.plugin.diffs import Change
from bootstrap.plugin.resource import Output

if TYPE_CHECKING:
    from bootstrap.verify import Drift

OUTPUT = Output("drift", "object", "pin to what was expected and what was found, as of the last refresh")


def as_output(drifts: Iterable[Drift]) -> dict[str, str]:
    """`{"docker.io": "expected 20.10.24, found 20.10.23 since …"}`"""
    return {
        drift.pin: f"expected {drift.expected}, found {drift.found}" + (f" since {drift.since}" if drift.since else "")
        for drift in drifts
    }


def changes_of(outputs: Values) -> list[Change]:
    """What an update would put right. To Pulumi the drift goes away, so it shows the sentence as removed."""
    return [Change(("drift", pin), "delete", of_inputs=False) for pin in outputs.get("drift") or {}]
