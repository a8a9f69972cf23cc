from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given
from hypothesis import strategies as st

from slipway.desired import Window
from slipway.units import BadValueError
from slipway.windows import check_cron, check_length, check_zone, next_opening, open_until, opening_text, window_text

NIGHTS = Window(cron="0 2 * * 1-5", seconds=4 * 3600, zone="Europe/Helsinki")
ZONES = ("UTC", "Europe/Helsinki", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu")

WINDOWS = st.builds(
    lambda minute, hour, day, minutes, zone: Window(cron=f"{minute} {hour} * * {day}", seconds=minutes * 60, zone=zone),
    st.sampled_from(("0", "30", "*/20")),
    st.sampled_from(("0", "1", "2", "3", "23", "*/6")),
    st.sampled_from(("*", "1-5", "0", "6")),
    st.integers(1, 3 * 24 * 60),
    st.sampled_from(ZONES),
)
TIMES = st.integers(0, 2 * 365 * 24 * 60).map(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(0, 60 * minutes)
)


def starts(window: Window, begin: datetime, end: datetime) -> list[datetime]:
    """Every opening between two times, as cron says it from days before on."""
    found = []
    for start in CronSim(window.cron, (begin - timedelta(days=2)).astimezone(ZoneInfo(window.zone))):
        if start.astimezone(UTC) > end:
            return found
        found.append(start.astimezone(UTC))
    return found


@given(st.lists(WINDOWS, max_size=3), TIMES)
def test_open_if_and_only_if_a_window_opened_and_did_not_end(windows: list[Window], now: datetime) -> None:
    ends = [
        start + timedelta(seconds=window.seconds)
        for window in windows
        for start in starts(window, now - timedelta(seconds=window.seconds), now)
        if start <= now < start + timedelta(seconds=window.seconds)
    ]
    assert open_until(windows, now) == max(ends, default=None)


@given(st.lists(WINDOWS, min_size=1, max_size=3), TIMES)
def test_the_next_opening_opens(windows: list[Window], now: datetime) -> None:
    opening = next_opening(windows, now)
    assert opening is not None
    assert opening.astimezone(UTC) > now
    assert open_until(windows, opening) is not None
    between = [start for window in windows for start in starts(window, now, opening.astimezone(UTC))]
    assert not [start for start in between if now < start < opening.astimezone(UTC)], "none is passed over"


def test_without_windows() -> None:
    assert (open_until((), datetime.now(UTC)), next_opening((), datetime.now(UTC))) == (None, None)


@pytest.mark.parametrize(
    ("now", "until"),
    [
        ("2026-11-23T02:00+02:00", "2026-11-23T06:00+02:00"),
        ("2026-11-23T01:59+02:00", None),
        ("2026-11-23T05:59+02:00", "2026-11-23T06:00+02:00"),
        ("2026-11-23T06:00+02:00", None),
        ("2026-11-22T03:00+02:00", None),
        ("2026-11-23T00:30+00:00", "2026-11-23T04:00+00:00"),
    ],
)
def test_a_week_night(now: str, until: str | None) -> None:
    assert open_until([NIGHTS], datetime.fromisoformat(now)) == (datetime.fromisoformat(until) if until else None)


@pytest.mark.parametrize(
    ("cron", "hours", "now", "opens", "until"),
    [
        # Clocks go forward in Helsinki on 2026-03-29 from 03:00 to 04:00, and back on 2026-10-25 from 04:00 to 03:00.
        ("0 2 * * *", 4, "2026-03-29T02:30+02:00", "2026-03-30T02:00+03:00", "2026-03-29T07:00+03:00"),
        ("30 3 * * *", 1, "2026-03-29T02:59+02:00", "2026-03-29T04:00+03:00", None),
        ("30 3 * * *", 1, "2026-03-29T04:59+03:00", "2026-03-30T03:30+03:00", "2026-03-29T05:00+03:00"),
        ("30 3 * * *", 1, "2026-10-25T03:45+03:00", "2026-10-26T03:30+02:00", "2026-10-25T03:30+02:00"),
        ("30 3 * * *", 1, "2026-10-25T03:30+02:00", "2026-10-26T03:30+02:00", None),
        ("0 2 * * *", 4, "2026-10-25T04:59+02:00", "2026-10-26T02:00+02:00", "2026-10-25T05:00+02:00"),
        ("0 2 * * *", 4, "2026-10-25T05:00+02:00", "2026-10-26T02:00+02:00", None),
    ],
    ids=[
        "ends-later-on-the-wall",
        "left-out-before",
        "left-out",
        "twice-first",
        "twice-second",
        "longer",
        "longer-end",
    ],
)
def test_when_clocks_change(cron: str, hours: int, now: str, opens: str, until: str | None) -> None:
    window, at = Window(cron=cron, seconds=hours * 3600, zone="Europe/Helsinki"), datetime.fromisoformat(now)
    expected = datetime.fromisoformat(until) if until else None
    assert open_until([window], at) == (expected if expected and expected > at else None)
    opening = next_opening([window], at)
    assert opening is not None
    assert opening.astimezone(UTC) == datetime.fromisoformat(opens).astimezone(UTC)


def test_texts() -> None:
    opening = next_opening([NIGHTS], datetime.fromisoformat("2026-11-28T12:00+00:00"))
    assert opening is not None
    assert opening_text(opening) == "Mon 2026-11-30 02:00 Europe/Helsinki"
    assert window_text(NIGHTS) == "0 2 * * 1-5 for 4h, Europe/Helsinki"


@pytest.mark.parametrize("cron", ["0 2 * * 1-5", "*/15 0-4 1,15 * *", "0 2 * * SUN#2", "0 2 L * *"])
def test_good_cron(cron: str) -> None:
    check_cron(cron)


@pytest.mark.parametrize(
    ("cron", "what"),
    [
        ("0 2 * *", "has 4 fields"),
        ("0 0 2 * * *", "has 6 fields"),
        ("", "has 0 fields"),
        ("0 24 * * *", "its hour is wrong"),
        ("x 2 * * *", "its minute is wrong"),
        ("0 2 30 2 *", "its day-of-month is wrong"),
        ("0 2 * * 5-1", "its day-of-week is wrong"),
    ],
)
def test_bad_cron(cron: str, what: str) -> None:
    with pytest.raises(BadValueError, match=what):
        check_cron(cron)


@pytest.mark.parametrize("zone", ["Mars/Phobos", "Europe", "../etc/passwd", "", "/etc/localtime"])
def test_no_zone(zone: str) -> None:
    with pytest.raises(BadValueError, match="there is no time zone"):
        check_zone(zone)


@pytest.mark.parametrize("seconds", [0, 59.9, 8 * 24 * 3600])
def test_no_length(seconds: float) -> None:
    with pytest.raises(BadValueError, match="no length of a window"):
        check_length(seconds)
