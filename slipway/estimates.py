"""Figures that are not exact: a best guess between two bounds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Range:
    """`low <= mid <= high`, in whatever unit the one who holds it says. `mid` is the best guess.

    >>> Range(1, 2, 4) + Range.exact(1)
    Range(low=2, mid=3, high=5)
    >>> Range.exact(10) - Range(1, 2, 4)
    Range(low=6, mid=8, high=9)
    """

    low: float
    mid: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.mid <= self.high:
            raise ValueError(f"{self.low} <= {self.mid} <= {self.high} does not hold")

    @classmethod
    def exact(cls, value: float) -> Range:
        return cls(value, value, value)

    @classmethod
    def around(cls, value: float, share: float) -> Range:
        """`value`, give or take a share of it: 0.1 is ten percent."""
        return cls(value * (1 - share), value, value * (1 + share))

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.mid + other.mid, self.high + other.high)

    def __sub__(self, other: Range) -> Range:
        """The bounds cross over: the least of a difference takes the most away."""
        return Range(self.low - other.high, self.mid - other.mid, self.high - other.low)

    def scaled(self, factor: float) -> Range:
        """Each of the three times `factor`, which is 0 or more."""
        return Range(self.low * factor, self.mid * factor, self.high * factor)

    def at_least(self, floor: float) -> Range:
        return Range(max(self.low, floor), max(self.mid, floor), max(self.high, floor))
