"""Geometry of plots: values in, SVG coordinates out. Colours and text styles are those of `page.html.j2`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

WIDTH, HEIGHT = 900.0, 340.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 104.0, 42.0, 52.0
"""margins that hold every text, so that none lies on the plot"""

BARS_LEFT, BARS_RIGHT, ROW, BAR = 150.0, 16.0, 54.0, 30.0
"""margins beside stacked bars, the height of a row and of its bar"""

ROWS = 12
"""of the ranking, on the page"""

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """One axis. `ticks` are values with their text, `start` and `end` its ends in SVG units."""

    title: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    start: float
    end: float
    scale: Literal["linear", "log"] = "linear"

    def at(self, value: float) -> float:
        """Where a value lies; beyond the axis too.

        >>> x_axis("tokens", 0, 10).at(5) == (LEFT + WIDTH - RIGHT) / 2
        True
        """
        if self.scale == "log":
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


@dataclass(frozen=True)
class Series:
    """One line, or the area of a band. `style` counts lines, for colour and dashes."""

    name: str
    style: int
    path: str


@dataclass(frozen=True)
class Mark:
    """A value to hold others against: a line across the plot, with its text outside of it."""

    text: str
    at: float


@dataclass(frozen=True)
class Plot:
    """Everything that one figure draws."""

    name: str
    title: str
    description: str
    x: Axis
    y: Axis
    lines: tuple[Series, ...]
    bands: tuple[Series, ...] = ()
    across: tuple[Mark, ...] = ()
    """at heights of the y axis"""
    upright: tuple[Mark, ...] = ()
    """at places of the x axis"""


@dataclass(frozen=True)
class Part:
    """One piece of a stacked bar: `kind` names its colour, `text` says what it is."""

    kind: str
    text: str
    x: float
    width: float


@dataclass(frozen=True)
class Bar:
    """One stacked bar with a label of two lines."""

    label: str
    detail: str
    y: float
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Bars:
    """Stacked bars, one under the other, on one scale."""

    title: str
    description: str
    x: Axis
    bars: tuple[Bar, ...]
    bottom: float
    legend: tuple[tuple[str, str], ...]
    """kind and name of each part that occurs"""


def stacked(
    title: str, description: str, unit: str, rows: Sequence[tuple[str, str, Sequence[tuple[str, str, float]]]]
) -> Bars:
    """Bars from rows of label, detail and parts; a part is kind, name and size in `unit`.

    >>> stacked("", "", "GiB", [("one", "", [("a", "A", 3.0), ("b", "B", 5.0)])]).bars[0].parts[1].x
    425.25
    """
    marks = ticks(0, max(sum(size for _, _, size in parts) for _, _, parts in rows), 8)
    x = Axis(unit, 0.0, marks[-1], labelled(marks), BARS_LEFT, WIDTH - BARS_RIGHT)
    bars, legend = [], {}
    for index, (label, detail, parts) in enumerate(rows):
        used, placed = 0.0, []
        for kind, name, size in parts:
            legend[kind] = name
            left = x.at(used)
            used += size
            placed.append(Part(kind, f"{name}: {size:.1f} {unit}", left, round(x.at(used) - left, 2)))
        bars.append(Bar(label, detail, 8 + ROW * index, tuple(placed)))
    return Bars(title, description, x, tuple(bars), 8 + ROW * len(rows), tuple(legend.items()))


def ticks(low: float, high: float, most: int = 6) -> tuple[float, ...]:
    """Round values from `low` to `high` or just above: multiples of 1, 2 or 5 × a power of ten.

    >>> ticks(0, 1234, 5)
    (0.0, 500.0, 1000.0, 1500.0)
    """
    span = max(high - low, 1e-12)
    power = 10.0 ** math.floor(math.log10(span / most))
    step = next(power * factor for factor in (1, 2, 5, 10) if span / (power * factor) <= most)
    first = math.floor(low / step)
    last = math.ceil(high / step - 1e-9)
    return tuple(round(index * step, 12) for index in range(first, last + 1))


def x_axis(title: str, low: float, high: float) -> Axis:
    marks = ticks(low, high, 8)
    return Axis(title, low, marks[-1], labelled(marks), LEFT, WIDTH - RIGHT)


def doubling_axis(title: str, high: float) -> Axis:
    """From 1 in doublings: 1, 2, 4, …

    >>> [text for _, text in doubling_axis("at once", 9).ticks]
    ['1', '2', '4', '8', '16']
    """
    last = max(1, math.ceil(math.log2(max(high, 2)) - 1e-9))
    every = -(-(last + 1) // 10)
    marks = tuple(float(2**power) for power in range(0, last + 1, every))
    return Axis(title, 1.0, float(2**last), labelled(marks), LEFT, WIDTH - RIGHT, "log")


def y_axis(title: str, high: float) -> Axis:
    """From 0 up."""
    marks = ticks(0, high, 5)
    return Axis(title, 0.0, marks[-1], labelled(marks), HEIGHT - BOTTOM, TOP)


def labelled(marks: Sequence[float]) -> tuple[tuple[float, str], ...]:
    """
    >>> labelled((0.0, 0.5, 1500.0))
    ((0.0, '0'), (0.5, '0.5'), (1500.0, '1,500'))
    """
    return tuple((mark, f"{mark:,.10g}") for mark in marks)


def line(x: Axis, y: Axis, points: Sequence[Point]) -> str:
    """The path through points.

    >>> line(x_axis("", 0, 10), y_axis("", 10), [(0, 0), (10, 10)])
    'M64 288L796 42'
    """
    return "M" + "L".join(f"{x.at(across):g} {y.at(up):g}" for across, up in points)


def stairs(x: Axis, y: Axis, points: Sequence[Point]) -> str:
    """The path that holds each value until the next point."""
    path = f"M{x.at(points[0][0]):g} {y.at(points[0][1]):g}"
    for across, up in points[1:]:
        path += f"H{x.at(across):g}V{y.at(up):g}"
    return path


def band(x: Axis, y: Axis, low: Sequence[Point], high: Sequence[Point]) -> str:
    """The closed path between two lines."""
    return line(x, y, low) + "L" + line(x, y, high[::-1])[1:] + "Z"
