"""What the gate behind a wave takes for a regression."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """A share of errors, and times as multiples of a baseline; past one of them the gate stays shut."""

    errors: float = 0.01
    latency: float = 1.5
    first_token: float = 1.5
    """of the engine's time to first token, and of the proxy's time to the first byte"""
    per_token: float = 1.25
    min_requests: int = 20
    """fewer say nothing"""
