"""Foreign JSON, read with distrust: bounded, checked a value at a time, every fault one sentence."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping

from slipway.errors import SizingError
from slipway.units import quoted

CONFIG_CHARACTERS = 8 * 2**20
"""longest config.json that is read; real ones with thousands of unquantised layers listed stay under one MiB"""
INDEX_CHARACTERS = 64 * 2**20
"""longest index; that of a model with 384 experts a layer is about 20 MiB"""

LARGEST = 2**24
"""no width, count or window of a model is larger; fields with other bounds say so"""
FIX_FIELD = "Correct it, or take the file from the model's repository"
FIX_FILE = "Download the file again, or take it from the model's repository"


def read_json(text: str, where: str, limit: int) -> dict[str, object]:
    """The JSON object in `text`. Raises `SizingError` when it is longer than `limit`, broken, or not an object."""
    if len(text) > limit:
        raise SizingError(f"this is longer than {limit:,} characters", where=where, fix=FIX_FILE)
    try:
        found = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except _BadJsonError as error:
        raise SizingError(str(error), where=where, fix=FIX_FILE) from None
    except json.JSONDecodeError as error:
        what = f"this is no JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise SizingError(what, where=where, fix=FIX_FILE) from None
    except RecursionError:
        raise SizingError("this is nested too deeply to be a model's", where=where, fix=FIX_FILE) from None
    except ValueError:
        raise SizingError("this has a number with thousands of digits", where=where, fix=FIX_FILE) from None
    if not isinstance(found, dict):
        raise SizingError("this is JSON, but no object", where=where, fix=FIX_FILE)
    return found


class _BadJsonError(Exception):
    pass


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for index, name in enumerate(names) if name in names[:index])
        raise _BadJsonError(f"{quoted(twice)} is there twice")
    return found


def _no_constant(name: str) -> object:
    raise _BadJsonError(f"{name} is no number that a model can have")


class Fields:
    """One object of a configuration. Every value is checked when it is taken; null counts as not written."""

    def __init__(self, values: Mapping[str, object], where: str, path: str = "") -> None:
        self.values = values
        self.where = where
        self.path = path
        self.notes: list[str] = []
        """values that were not written, and what stood in for them"""

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def fault(self, key: str, what: str, fix: str = FIX_FIELD) -> SizingError:
        """The error that says what is wrong with one field."""
        return SizingError(f"{self.path}{key} {what}", where=self.where, fix=fix)

    def missing(self, key: str) -> SizingError:
        """The error that says a field is needed and not there."""
        return self.fault(key, "is missing; without it the model's size cannot be known")

    def maybe(self, key: str, low: int = 1, high: int = LARGEST) -> int | None:
        """A whole number within bounds, or None where nothing is written."""
        value = self.values.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.fault(key, f"is {quoted(value)}, which is no whole number")
        if not low <= value <= high:
            shown = quoted(value) if abs(value) < 10**18 else "a number with more than 18 digits"
            raise self.fault(key, f"is {shown}, which is not from {low} to {high}")
        return value

    def integer(self, *keys: str, low: int = 1, high: int = LARGEST, default: int | None = None) -> int:
        """The first of `keys` that is written. `default` is the family's own, and noted when it stands in."""
        for key in keys:
            value = self.maybe(key, low, high)
            if value is not None:
                return value
        if default is None:
            raise self.missing(keys[0])
        self.notes.append(f"{self.path}{keys[0]} is not written; {default} is the default of its class")
        return default

    def quiet(self, key: str, default: int, low: int = 0, high: int = LARGEST) -> int:
        """A whole number whose absence is ordinary and needs no note."""
        value = self.maybe(key, low, high)
        return default if value is None else value

    def automatic(self, key: str, otherwise: int) -> int:
        """A whole number; `otherwise` where nothing or "auto" is written."""
        return otherwise if self.values.get(key) in (None, "auto") else self.integer(key)

    def flag(self, key: str, default: bool) -> bool:
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self.fault(key, f"is {quoted(value)}, which is neither true nor false")
        return value

    def number(self, key: str, default: float, low: float = 0.0, high: float = float(LARGEST)) -> float:
        value = self.values.get(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.fault(key, f"is {quoted(value)}, which is no number")
        if not (low <= value <= high and math.isfinite(value)):
            raise self.fault(key, f"is not from {low} to {high}")
        return float(value)

    def word(self, key: str, default: str = "") -> str:
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, str) or len(value) > 1000:
            raise self.fault(key, f"is {quoted(value)}, which is no name")
        return value

    def words(self, key: str, most: int = 200_000) -> tuple[str, ...]:
        """A list of texts; nothing written is none."""
        value = self.values.get(key)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fault(key, "is no list of texts")
        if len(value) > most or any(len(item) > 1000 for item in value):
            raise self.fault(key, "is longer than any real one")
        return tuple(value)

    def integers(self, key: str, low: int = 0, high: int = LARGEST, most: int = 10_000) -> tuple[int, ...] | None:
        """A list of whole numbers, or None where nothing is written."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > most:
            raise self.fault(key, "is no list of whole numbers")
        if any(isinstance(item, bool) or not isinstance(item, int) or not low <= item <= high for item in value):
            raise self.fault(key, f"has an entry that is no whole number from {low} to {high}")
        return tuple(value)

    def section(self, key: str) -> Fields | None:
        """An object within this one, or None. Its notes are this one's."""
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.fault(key, f"is {quoted(value)}, which is no object")
        inner = Fields(value, self.where, f"{self.path}{key}.")
        inner.notes = self.notes
        return inner

    def needed(self, key: str) -> Fields:
        """An object within this one that has to be there."""
        found = self.section(key)
        if found is None:
            raise self.missing(key)
        return found

    def with_outer(self, outer: Fields, key: str) -> Fields:
        """This object, with one field taken from the object around it."""
        merged = Fields({**self.values, key: outer.values[key]}, self.where, self.path)
        merged.notes = self.notes
        return merged

    def with_defaults(self, **defaults: object) -> Fields:
        """This object, with what its class assumes where nothing is written; each is noted."""
        lacking = {key: value for key, value in defaults.items() if key not in self}
        self.notes += [
            f"{self.path}{key} is not written; {value} is the default of its class" for key, value in lacking.items()
        ]
        merged = Fields({**self.values, **lacking}, self.where, self.path)
        merged.notes = self.notes
        return merged

    def sections(self, key: str, most: int = 100) -> Iterator[tuple[str, Fields]]:
        """The named objects of an object of objects."""
        outer = self.section(key)
        if outer is None:
            return
        if len(outer.values) > most:
            raise self.fault(key, f"has more than {most} entries")
        for name in outer.values:
            inner = outer.section(name)
            if inner is not None:
                yield name, inner
