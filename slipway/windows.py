"""Maintenance windows: whether one is open at a time, and when the next one opens.

A window is open at `now` if and only if it opened at some `s` with `s <= now < s + seconds`. Seconds are real ones: one
of four hours that opens at 02:00 in the night in which clocks go forward ends at 07:00 on the wall. Cron's rules are
Debian's: an hour that the clock leaves out opens the window right after it, and one that comes twice opens it once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from slipway.desired import Window
from slipway.units import BadValueError, format_duration, quoted

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

FIELDS = 5
LONGEST = 7 * 24 * 3600.0
"""seconds; a longer one opens again before it closes, as cron's longest common rhythm is a week"""
SHIFT = timedelta(hours=3)
"""more than any clock ever jumps: openings are looked for from this much earlier on, as a clock that goes back by an
hour puts an opening before the time that the search began at"""

AT_ONCE = "to do it now, run `pulumi config rm --path 'slipway:rollout.windows'`, `pulumi up`, and put the windows back"
"""the way around a closed window"""


def check_cron(text: str) -> None:
    """Raises `BadValueError` when `text` is no cron expression of five fields, or one that no day ever matches."""
    from cronsim import CronSim, CronSimError  # noqa: PLC0415  loaded only where there are windows

    fix = 'Write minute, hour, day of month, month and day of week, such as "0 2 * * 1-5"'
    fields = len(text.split())
    if fields != FIELDS:
        raise BadValueError(f"{quoted(text)} has {fields} fields, and a cron expression has {FIELDS}", fix)
    try:
        next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        part = str(error).removeprefix("Bad ").removeprefix("bad ")
        raise BadValueError(f"{quoted(text)} is no cron expression: its {part} is wrong", fix) from None
    except StopIteration:
        raise BadValueError(f"{quoted(text)} never comes", fix) from None


def check_zone(text: str) -> None:
    """Raises `BadValueError` when there is no such time zone."""
    try:
        _zone(text)
    except (KeyError, ValueError, OSError):
        fix = 'Write one of the IANA database, such as "Europe/Helsinki" or "UTC"'
        raise BadValueError(f"there is no time zone {quoted(text)}", fix) from None


def check_length(seconds: float) -> None:
    """Raises `BadValueError` when no window may be that long."""
    if not 60 <= seconds <= LONGEST:
        what = f"{format_duration(seconds)} is no length of a window"
        raise BadValueError(what, 'Write one from "1m" to "7d", such as "4h"')


def open_until(windows: Sequence[Window], now: datetime) -> datetime | None:
    """The latest end of those windows that are open at `now` (an aware time); None when none is. In UTC."""
    now = now.astimezone(UTC)
    ends = [start + timedelta(seconds=window.seconds) for window in windows for start in _openings(window, now)]
    return max((end for end in ends if end > now), default=None)


def next_opening(windows: Sequence[Window], now: datetime) -> datetime | None:
    """The first opening after `now` (an aware time), in its window's zone; None without windows."""
    now = now.astimezone(UTC)
    found = [(start.astimezone(UTC), start) for window in windows if (start := _first_after(window, now)) is not None]
    return min(found, key=lambda pair: pair[0])[1] if found else None


def opening_text(when: datetime) -> str:
    """For people: "Mon 2026-11-30 02:00 Europe/Helsinki"."""
    return f"{when:%a %Y-%m-%d %H:%M} {when.tzinfo}"


def window_text(window: Window) -> str:
    """For people: `0 2 * * 1-5 for 4h, Europe/Helsinki`."""
    return f"{window.cron} for {format_duration(window.seconds)}, {window.zone}"


def _openings(window: Window, now: datetime) -> Iterator[datetime]:
    """Openings in UTC, up to `now`, of which those that could still be open are all there."""
    for start in _from(window, now - timedelta(seconds=window.seconds) - SHIFT):
        opened = start.astimezone(UTC)
        if opened > now + SHIFT:
            return
        if opened <= now:
            yield opened


def _first_after(window: Window, now: datetime) -> datetime | None:
    return next((start for start in _from(window, now - SHIFT) if start.astimezone(UTC) > now), None)


def _from(window: Window, begin: datetime) -> Iterator[datetime]:
    from cronsim import CronSim  # noqa: PLC0415

    yield from CronSim(window.cron, begin.astimezone(_zone(window.zone)))


def _zone(name: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo  # noqa: PLC0415

    return ZoneInfo(name)
