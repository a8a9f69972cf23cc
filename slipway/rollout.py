"""Waves: which hosts change together, from a list of hosts, their failure domains and a policy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from slipway.plan_types import WavePlan

MOST_ASKED = 16
"""hosts that one host asks: each costs a connection, and a fleet of 100 would make 10,000 of them"""


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


def plan_waves(
    hosts: Sequence[str], policy: Policy, domains: Mapping[str, str | None] | None = None
) -> tuple[WavePlan, ...]:
    """Every host in exactly one wave, the canary first.

    `domains` says what each host fails together with. One domain is finished before the next begins, in the order in
    which the hosts first name them, and no wave spans two: a change that breaks whole domains is seen in one. Hosts
    without a domain are one more. Within a domain the order is the one given.

    A share is of the whole fleet. It is rounded up for `wave` (the rollout ends) and down for `max_unavailable` (the
    promise holds), to one host at least. Behind the last wave nothing waits, so its bake time is 0.

    Without `max_unavailable` as many hosts may be out of service at once as are in the largest wave.
    """
    largest = share(policy.wave, len(hosts), up=True)
    limit = math.inf
    if policy.max_unavailable is not None:
        limit = share(policy.max_unavailable, len(hosts), up=False)
    sizes = [min(policy.canary, limit)] if policy.canary else []
    waves: list[WavePlan] = []
    left = len(hosts)
    for domain, members in _by_domain(hosts, domains or {}).items():
        start = 0
        while start < len(members):
            size = int(sizes.pop() if sizes else min(largest, limit))
            chosen = tuple(members[start : start + size])
            start += size
            left -= len(chosen)
            waves.append(WavePlan(len(waves), chosen, policy.bake if left else 0.0, domain))
    most = int(limit) if limit != math.inf else max((len(wave.hosts) for wave in waves), default=0)
    return tuple(replace(wave, spare=most - len(wave.hosts)) for wave in waves)


def asked_before(host: str, wave: WavePlan, waves: Sequence[WavePlan]) -> tuple[tuple[str, ...], int]:
    """Which hosts of other waves are asked before this one lets its traffic go, and how many of them may be out of
    service. Those of its own wave go with it.

    Above `MOST_ASKED` each host of a wave asks others of them, so that all of it asks many, and what may be out is in
    proportion.
    """
    rest = [name for other in waves if other.index != wave.index for name in other.hosts]
    start = wave.hosts.index(host) * MOST_ASKED % max(len(rest), 1)
    asked = (rest[start:] + rest[:start])[:MOST_ASKED]
    return tuple(asked), -(-wave.spare * len(asked) // max(len(rest), 1))


def _by_domain(hosts: Sequence[str], domains: Mapping[str, str | None]) -> dict[str | None, list[str]]:
    found: dict[str | None, list[str]] = {}
    for host in hosts:
        found.setdefault(domains.get(host), []).append(host)
    return found
