"""One pin and how it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["passed", "failed", "not_ready"]


@dataclass(frozen=True)
class Drift:
    """One pin that no longer holds. `since` is an ISO time, or None where nothing on the host tells it."""

    pin: str
    expected: str
    found: str
    since: str | None = None

    def __str__(self) -> str:
        since = f" since {self.since}" if self.since else ""
        return f"{self.pin}: expected {self.expected}, found {self.found}{since}"


@dataclass(frozen=True)
class Check:
    """One pin and how it stands. `not_ready` may pass by itself in a while."""

    status: Status
    pin: str
    expected: str
    found: str
    since: str | None = None

    @property
    def drift(self) -> Drift:
        return Drift(self.pin, self.expected, self.found, self.since)


def equal(pin: str, expected: str, found: str, since: str | None = None) -> Check:
    return Check("passed" if expected == found else "failed", pin, expected, found, since)


def rendered(path: str, wanted: str, found: str | None) -> Check:
    """A file that we write."""
    said = "not there" if found is None else "as rendered" if found == wanted else "other content"
    return equal(f"files.{path}", "as rendered", said)
