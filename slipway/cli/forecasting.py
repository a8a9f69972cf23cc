"""A roll-out before it is begun, for people and as data."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from slipway.cli.show import fact_table
from slipway.forecast import Change, Forecast, WaveForecast
from slipway.plan_types import Plan
from slipway.units import format_duration
from slipway.windows import next_opening, open_until, opening_text, window_text


def forecast_data(found: Forecast, plan: Plan, now: datetime) -> dict[str, Any]:
    """The forecast as JSON-able data; durations are seconds, times ISO 8601."""
    data: dict[str, Any] = dataclasses.asdict(found)
    for wave, shown in zip(found.waves, data["waves"], strict=True):
        shown["seconds"] = wave.seconds
        shown["starts"] = wave.starts.isoformat() if wave.starts is not None else None
        shown["stays_up"]["share"] = round(wave.stays_up.share, 4)
    until, opening = open_until(plan.windows, now), next_opening(plan.windows, now)
    data["windows"] = {
        "all": [window.model_dump(mode="json") for window in plan.windows],
        "open_until": until.isoformat() if until is not None else None,
        "next_opening": opening.isoformat() if opening is not None else None,
    }
    return data


def show_forecast(found: Forecast, plan: Plan, now: datetime, console: Console | None = None) -> None:
    """Print the forecast on standard output, a row a fact, and the waves as a table."""
    out = console or Console(highlight=False)
    out.print(fact_table(rows(found, plan, now)))
    if found.waves:
        out.print()
        out.print(_table(found))


def rows(found: Forecast, plan: Plan, now: datetime) -> Iterator[tuple[str, str]]:
    """Name and value of each fact; a name is empty where the row goes on from the one above."""
    yield "stack", f"{found.stack}: {found.old} to {found.new}"
    lines = list(_changes(found.changes)) or ["nothing on a host"]
    for index, line in enumerate(lines):
        yield "" if index else "changes", line
    if not found.waves:
        return
    yield "reboot", found.reboot
    for index, window in enumerate(plan.windows):
        yield "" if index else "windows", window_text(window)
    until, opening = open_until(plan.windows, now), next_opening(plan.windows, now)
    if not plan.windows:
        yield "windows", "none: at any time"
    elif until is not None and opening is not None:
        yield "", f"open until {opening_text(until.astimezone(opening.tzinfo))}"
    elif opening is not None:
        yield "", f"the next opens {opening_text(opening)}"
    for index, step in enumerate(found.steps):
        yield "" if index else "each host", f"{step.name} {format_duration(step.seconds)}: {step.why}"
    yield "in total", f"at most {found.arithmetic}"
    for index, note in enumerate(found.notes):
        yield "" if index else "note", note


def _changes(changes: tuple[Change, ...]) -> Iterator[str]:
    """A line a change; packages that move from and to the same versions share one."""
    together: dict[tuple[str | None, str | None], list[str]] = {}
    for change in changes:
        if change.kind == "package":
            together.setdefault((change.old, change.new), []).append(change.name)
        else:
            yield f"{'image ' if change.kind == 'image' else ''}{change.name}: {_moves(change.old, change.new)}"
    for (old, new), names in together.items():
        yield f"package{'' if len(names) == 1 else 's'} {_moves(old, new)}: {', '.join(names)}"


def _moves(old: str | None, new: str | None) -> str:
    if old is None:
        return f"new, {_short(new)}"
    return f"{_short(old)} to {_short(new)}" if new is not None else f"{_short(old)} no longer pinned"


def _short(version: str | None) -> str:
    """Digests by their first digits."""
    return re.sub(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}", r"\1…", version or "")


def _table(found: Forecast) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    domains = any(wave.domain is not None for wave in found.waves)
    starts = any(wave.starts is not None for wave in found.waves)
    for name, shown in (("wave", True), ("domain", domains), ("hosts", True), ("from", starts), ("at most", True)):
        if shown:
            table.add_column(name, overflow="fold")
    table.add_column("stays up", overflow="fold")
    for wave in found.waves:
        cells = [str(wave.index)]
        cells += [wave.domain or "-"] if domains else []
        cells += [", ".join(wave.hosts)]
        cells += [opening_text(wave.starts) if wave.starts is not None else "-"] if starts else []
        table.add_row(*map(escape, (*cells, _lasts(wave), _stays(wave))))
    return table


def _lasts(wave: WaveForecast) -> str:
    bake = f" + {format_duration(wave.bake_seconds)}" if wave.bake_seconds else ""
    return format_duration(wave.change_seconds) + bake


def _stays(wave: WaveForecast) -> str:
    up = wave.stays_up
    return f"{up.hosts} of {up.of_hosts} hosts, {up.replicas} of {up.of_replicas} replicas, {up.share:.0%} of capacity"
