"""Waves: which hosts change together, from a list of hosts and a policy."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from slipway.plan_types import WavePlan


@dataclass(frozen=True)
class Policy:
    """`wave` and `max_unavailable` are a number of hosts or a share of the fleet such as "25%"; `bake` is seconds."""

    canary: int = 1
    wave: int | str = "25%"
    bake: float = 120.0
    max_unavailable: int | str | None = None


def share(size: int | str, hosts: int, *, up: bool) -> int:
    """Hosts that `size` stands for in a fleet of `hosts`; at least one."""
    if isinstance(size, int):
        return max(1, size)
    exact = hosts * int(size.removesuffix("%"))
    return max(1, -(-exact // 100) if up else exact // 100)


def plan_waves(hosts: Sequence[str], policy: Policy) -> tuple[WavePlan, ...]:
    """Every host in exactly one wave, in the order given, the canary first.

    A share is rounded up for `wave` (the rollout ends) and down for `max_unavailable` (the promise holds), to one host
    at least. Behind the last wave nothing waits, so its bake time is 0.
    """
    largest = share(policy.wave, len(hosts), up=True)
    limit = math.inf
    if policy.max_unavailable is not None:
        limit = share(policy.max_unavailable, len(hosts), up=False)
    sizes = [min(policy.canary, limit)] if policy.canary else []
    waves: list[WavePlan] = []
    start = 0
    while start < len(hosts):
        size = int(sizes.pop() if sizes else min(largest, limit))
        members = tuple(hosts[start : start + size])
        start += size
        waves.append(WavePlan(len(waves), members, policy.bake if start < len(hosts) else 0.0))
    return tuple(waves)
