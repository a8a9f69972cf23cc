from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway import units
from slipway.units import BadValueError


@given(st.integers(0, 10**17))
def test_bytes_are_read_back_as_printed(size: int) -> None:
    assert units.parse_bytes(units.format_bytes(size)) == size


@given(st.integers(0, 10**10))
def test_durations_are_read_back_as_printed(milliseconds: int) -> None:
    assert math.isclose(units.parse_duration(units.format_duration(milliseconds / 1000)), milliseconds / 1000)


@pytest.mark.parametrize(
    ("text", "size"),
    [("80GiB", 80 * 2**30), ("512MiB", 2**29), ("1.5 GB", 1_500_000_000), ("0B", 0), ("98362432B", 98362432), (7, 7)],
)
def test_sizes(text: object, size: int) -> None:
    assert units.parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1h30m", 5400), ("250ms", 0.25), ("1.5m", 90), ("1d", 86400), (0, 0)],
)
def test_durations(text: object, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "value", ["", "GiB", "-1GiB", "1,5GiB", "1e9B", "0.3B", "9" * 19 + "B", "999999TiB", True, None, 1.5, -1]
)
def test_no_sizes(value: object) -> None:
    with pytest.raises(BadValueError):
        units.parse_bytes(value)


@pytest.mark.parametrize("value", ["", "s", "5", 5, True, None, "-5s", "5 s", "1m1m", "1s1m", "∞s", "1" * 50 + "s"])
def test_no_durations(value: object) -> None:
    with pytest.raises(BadValueError):
        units.parse_duration(value)


def test_a_bare_number_is_told_its_likely_unit() -> None:
    with pytest.raises(BadValueError, match='write "15s"'):
        units.parse_duration(15)


def test_people_see_rounded_sizes() -> None:
    assert units.about_bytes(98362432) == "93.8 MiB"
    assert units.about_bytes(12) == "12 B"


@given(st.integers(1, 100))
def test_shares(percent: int) -> None:
    assert units.parse_percent(f"{percent}%") == percent
    assert units.parse_hosts_or_percent(f"{percent}%") == f"{percent}%"
    assert units.parse_hosts_or_percent(percent) == percent


@pytest.mark.parametrize("value", ["0%", "101%", "25", "25 %", 0, -1, True, None, 2.5])
def test_no_shares(value: object) -> None:
    with pytest.raises(BadValueError):
        units.parse_hosts_or_percent(value)
