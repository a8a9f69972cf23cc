"""Compares what is on a host with what was pinned."""

from __future__ import annotations

from dataclasses import dataclass


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
