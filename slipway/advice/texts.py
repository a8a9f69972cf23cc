"""Figures as people read them, for reasons that show both sides."""

from __future__ import annotations

import math


def seconds(value: float) -> str:
    """Two or three digits, and the unit that needs fewest.

    >>> seconds(0.0123), seconds(0.0996), seconds(2), seconds(50.3), seconds(7300), seconds(float("inf"))
    ('12 ms', '0.1 s', '2 s', '50 s', '122 min', 'no limit')
    """
    if math.isinf(value):
        return "no limit"
    if value < 0.0995:
        return f"{value * 1000:.2g} ms"
    if value < 10:
        return f"{value:.2g} s"
    return f"{value:.0f} s" if value < 600 else f"{value / 60:.0f} min"


def euro(value: float) -> str:
    """Euro without cents where they do not matter.

    >>> euro(0), euro(0.0123), euro(7.5), euro(1234.4)
    ('€0', '€0.012', '€7.5', '€1234')
    """
    return f"€{value:.2g}" if value < 10 else f"€{value:.0f}"


def gib(size: float) -> str:
    """Bytes in GiB.

    >>> gib(2**30 * 14.96)
    '15.0 GiB'
    """
    return f"{size / 2**30:.1f} GiB" if abs(size) >= 2**30 / 10 else f"{size / 2**30:.2g} GiB"


def share(value: float) -> str:
    """
    >>> share(0.123), share(0.004)
    ('12 %', '0.4 %')
    """
    return f"{value:.0%}".replace("%", " %") if value >= 0.095 or value == 0 else f"{value * 100:.1f} %"


def count(number: int, noun: str) -> str:
    """
    >>> count(1, "host"), count(2, "replica")
    ('1 host', '2 replicas')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
