"""Advice as data for programs: the keys are the fields of `slipway.advice.types`, described in `docs/advise.md`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from slipway.advice.types import Advice
from slipway.memory.tuning import TrainingFit
from slipway.memory.types import Setup

DIGITS = 6
"""significant ones: an estimate has no more"""


def advice_data(advice: Advice) -> dict[str, Any]:
    """The whole advice as JSON-able data. What has no limit is null; a range is low, mid and high."""
    found: dict[str, Any] = _plain(advice)
    return found


def _plain(value: object) -> Any:
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    fields = _fields(value)
    return value if fields is None else {str(key): _plain(item) for key, item in fields.items()}


def _fields(value: object) -> Mapping[Any, Any] | None:
    """What a value is made of; None where it is one piece."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return value
    if not dataclasses.is_dataclass(value):
        return None
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Setup):
        # A device's own figures, each with its source, are the same in every option: its name says which.
        return fields | {"device": value.device.name}
    if isinstance(value, TrainingFit):
        del fields["plan"]
        return fields | {name: getattr(value, name) for name in ("total", "verdict", "smallest_gpus", "notes")}
    return fields
