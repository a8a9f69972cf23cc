"""What a rule finds, and what it must not judge yet."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.settings.sections import Settings

Loc = tuple[int | str, ...]


@dataclass(frozen=True)
class Finding:
    loc: Loc
    what: str
    fix: str
    uses: tuple[Loc, ...] = ()


def engine_is_open(settings: Settings) -> bool:
    """Whether `gpu` leaves the engine to advice. The rules ask again once it is chosen (`slipway.auto`)."""
    return settings.gpu is not None and "name" not in settings.engine.model_fields_set
