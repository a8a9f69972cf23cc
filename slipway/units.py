"""Bytes, durations and shares as people write them: "80GiB", "1m30s", "25%".

Each has a parser, a printer that the parser reads back to the same value, and an annotated type for pydantic models.
Inside Slipway bytes are `int`, durations are `float` seconds.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated

from pydantic import BeforeValidator, WithJsonSchema

KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40
GB = 10**9

BINARY = {"KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": TIB}
DECIMAL = {"kB": 10**3, "MB": 10**6, "GB": GB, "TB": 10**12}
BYTE_UNITS = {"B": 1} | BINARY | DECIMAL
TIME_UNITS = {"ms": Fraction(1, 1000), "s": Fraction(1), "m": Fraction(60), "h": Fraction(3600), "d": Fraction(86400)}

BYTES_PATTERN = r"^[0-9]+(\.[0-9]+)? ?(B|kB|MB|GB|TB|KiB|MiB|GiB|TiB)$"
DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$"
PERCENT_PATTERN = r"^(100|[1-9][0-9]?)%$"

MAX_DIGITS = 18
"""longer numbers are refused before they are parsed; 10¹⁸ bytes is an exabyte"""


class BadValueError(ValueError):
    """A value that is wrong, as two sentences: `what` is wrong with it, and the `fix`."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}. {fix}")
        self.what = what
        self.fix = fix


def quoted(value: object) -> str:
    """The value as a message shows it: short, on one line."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…" + text[-1]


def parse_bytes(value: object) -> int:
    """Bytes of "80GiB", "1.5 GB" or a whole number of bytes. Raises `BadValueError`."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**MAX_DIGITS:
        return value
    fix = 'Write a number and a unit, such as "512MiB" or "80GiB"'
    if not isinstance(value, str):
        raise BadValueError(f"{quoted(value)} is no size", fix)
    match = re.fullmatch(r"([0-9]{1,18}(?:\.[0-9]{1,18})?) ?([A-Za-z]+)", value.strip())
    if match is None:
        raise BadValueError(f"{quoted(value)} is no size", fix)
    number, unit = match.groups()
    factor = BYTE_UNITS.get(unit)
    if factor is None:
        near = next((name for name in BYTE_UNITS if name.lower() in (unit.lower(), unit.lower() + "b")), None)
        near = near or {"k": "kB", "m": "MB", "g": "GB", "t": "TB"}.get(unit.lower()[:1])
        hint = f'Write "{number}{near}"' if near else fix
        raise BadValueError(
            f"{quoted(value)} has the unit {quoted(unit)}, which is none of {', '.join(BYTE_UNITS)}", hint
        )
    size = Fraction(number) * factor
    if size.denominator != 1:
        raise BadValueError(f"{quoted(value)} is not a whole number of bytes", "Use a smaller unit")
    if size >= 10**MAX_DIGITS:
        raise BadValueError(f"{quoted(value)} is more than an exabyte", fix)
    return int(size)


def format_bytes(size: int) -> str:
    """The shortest exact spelling with a unit: 85899345920 is "80GiB", 98362432 is "98362432B"."""
    for unit, factor in sorted((BINARY | DECIMAL).items(), key=lambda item: -item[1]):
        if size >= factor and size % factor == 0:
            return f"{size // factor}{unit}"
    return f"{size}B"


def about_bytes(size: int) -> str:
    """For people, rounded: 98362432 is "93.8 MiB"."""
    for unit, factor in sorted(BINARY.items(), key=lambda item: -item[1]):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"


def parse_duration(value: object) -> float:
    """Seconds of "90s", "5m", "1h30m", "250ms". A bare number is refused: its unit is anyone's guess, except for 0."""
    if value == 0 and isinstance(value, (int, float)) and not isinstance(value, bool):
        return 0.0
    fix = 'Write a number and a unit, such as "90s", "5m" or "1h30m"'
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise BadValueError(f"{quoted(value)} has no unit", f'If seconds are meant, write "{value}s"')
    if not isinstance(value, str) or re.fullmatch(DURATION_PATTERN, value) is None or len(value) > 40:
        raise BadValueError(f"{quoted(value)} is no duration", fix)
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)", value)
    names = [unit for _, unit in parts]
    order = ["d", "h", "m", "s", "ms"]
    if names != sorted(set(names), key=order.index):
        raise BadValueError(f"{quoted(value)} names a unit twice, or a small unit before a large one", fix)
    return float(sum(Fraction(number) * TIME_UNITS[unit] for number, unit in parts))


def format_duration(seconds: float) -> str:
    """Milliseconds are the finest unit printed: 90.0 is "1m30s", 0.25 is "250ms"."""
    left = round(seconds * 1000)
    if left == 0:
        return "0s"
    text = ""
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, int(TIME_UNITS[unit] * 1000))
        text += f"{count}{unit}" if count else ""
    return text


def parse_percent(value: object) -> int:
    """25 of "25%"; from 1 to 100. Raises `BadValueError`."""
    if not isinstance(value, str) or re.fullmatch(PERCENT_PATTERN, value) is None:
        raise BadValueError(f"{quoted(value)} is no share", 'Write a whole percentage from 1 to 100, such as "25%"')
    return int(value[:-1])


def parse_hosts_or_percent(value: object) -> int | str:
    """A number of hosts (1 or more), or a share of them such as "25%". Raises `BadValueError`."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return value
    try:
        return f"{parse_percent(value)}%"
    except BadValueError:
        fix = 'Write a number of hosts, such as 2, or a share of them from "1%" to "100%"'
        raise BadValueError(f"{quoted(value)} is neither a number of hosts nor a share of them", fix) from None


Bytes = Annotated[
    int,
    BeforeValidator(parse_bytes),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": BYTES_PATTERN}, {"type": "integer", "minimum": 0}]}),
]
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": DURATION_PATTERN}, {"const": 0}]}),
]
HostsOrPercent = Annotated[
    int | str,
    BeforeValidator(parse_hosts_or_percent),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": PERCENT_PATTERN}]}),
]
