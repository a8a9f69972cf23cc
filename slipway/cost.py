"""What an option costs: € a month, € a million tokens, the share that pays for idling, and what would cost less.

Prices are list prices of `offers.toml` or of the stack file; the rest is arithmetic. A month has 730 hours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from slipway.offers import HOURS_PER_MONTH, Offer, euro
from slipway.units import GB
from slipway.workload import FullWorkload

ONE = 1e-6
"""one token, in millions: what costs one a month or less has no price by the million"""


@dataclass(frozen=True)
class Costs:
    """Euro; what is paid for hours in which nothing is asked is in it."""

    per_hour: float
    per_month: float
    per_million_tokens: float | None
    """of what `tokens` says, at the expected load; None without any load"""
    tokens: Literal["generated", "prompt"]
    """which tokens are counted: those of prompts where nothing is generated (embeddings, scores)"""
    idle_share: float
    """of what is paid, for hours without requests or places without use"""
    spot_per_month: float | None
    """None where there is no such price"""
    burst_per_month: float | None
    """the smallest number of hosts always on, the rest only in the hours that need them; None where it saves nothing"""
    off_peak_per_month: float | None
    """batch work spread evenly over all hours; None where it saves nothing, and where somebody waits for answers"""
    why: tuple[str, ...] = ()


def costs(
    offer: Offer,
    hosts: int,
    workload: FullWorkload,
    *,
    host_rate: float | None = None,
    cold_start: float,
    stored: float = 0.0,
    explained: bool = False,
) -> Costs:
    """What `hosts` of an offer cost that carry the workload's busiest hour.

    `host_rate`: requests a second that one host carries within the targets; None takes the hosts to be full in the
    busiest hour. `cold_start`: seconds from the decision to a host that serves. `stored`: bytes on each host's disk.
    `why` is empty unless `explained`.

    >>> from slipway.offers import Offer
    >>> from slipway.workload import Workload, assume
    >>> one = Offer(provider="x", instance="y", vcpus=8, memory=2**35, price=1.5, source="an example", date="2026-11")
    >>> day = assume(Workload(profile=(0.0,) * 12 + (2.0,) * 12, output={"mean": 100}))
    >>> found = costs(one, 4, day, cold_start=600)
    >>> found.per_hour, found.per_month, found.idle_share
    (6.0, 4380.0, 0.5)
    >>> round(found.per_million_tokens, 6) == round(4380 / (1.0 * 3600 * 730 * 100 / 1e6), 6)
    True
    >>> found.burst_per_month == (24 * 1 + 12 * 3 + 3 / 6) / 24 * 730 * 1.5  # one stays, three start once a day
    True
    """
    price, disks = euro(offer.price, offer.currency), _disks(offer, stored) * hosts
    per_month = monthly(offer, hosts, stored)
    mean = workload.mean
    tokens = mean * 3600 * HOURS_PER_MONTH * _each(workload) / 1e6
    capacity = max(hosts * (host_rate or 0.0), workload.peak)
    on, spread = _burst_hosts(hosts, workload, cold_start), _spread_hosts(hosts, workload, mean)
    found = Costs(
        per_hour=per_month / HOURS_PER_MONTH,
        per_month=per_month,
        per_million_tokens=per_month / tokens if tokens > ONE else None,
        tokens="generated" if workload.output_mean else "prompt",
        idle_share=1 - min(mean / capacity, 1) if capacity else 1.0,
        spot_per_month=None if offer.spot is None else _spot(offer) * hosts * HOURS_PER_MONTH + disks,
        burst_per_month=price * on * HOURS_PER_MONTH + disks if price and on < hosts else None,
        off_peak_per_month=per_month * spread / hosts if price and spread < hosts else None,
    )
    if not explained:
        return found
    why = [_monthly(offer, hosts, found, disks), *_tokens(workload, found)]
    why.append(f"idle: {found.idle_share:.0%}; {mean:.4g} of {capacity:.4g} requests/s that this can carry")
    why += _cheaper(offer, hosts, found)
    if found.burst_per_month is not None:
        why.append(
            f"{_kept(workload, cold_start)} always on, others in the hours that need them: {on:.2f} on average, "
            f"each start paid {cold_start / 60:.0f} min ahead = €{found.burst_per_month:,.2f} a month"
        )
    if found.off_peak_per_month is not None:
        why.append(f"spread evenly, {spread} of {hosts} hosts carry it: €{found.off_peak_per_month:,.2f} a month")
    return replace(found, why=tuple(why))


def monthly(offer: Offer, hosts: int, stored: float = 0.0) -> float:
    """Euro a month for `hosts` that are always on, with `stored` bytes on each one's disk."""
    return (euro(offer.price, offer.currency) * HOURS_PER_MONTH + _disks(offer, stored)) * hosts


def _spot(offer: Offer) -> float:
    return euro(offer.spot or 0.0, offer.currency)


def _disks(offer: Offer, stored: float) -> float:
    """Euro a month for one host's disk; 0 where no price is known."""
    return euro(offer.storage_price, offer.currency) * stored / GB if offer.storage_price else 0.0


def _kept(workload: FullWorkload, cold_start: float) -> int:
    """Hosts that stay on where nobody asks: none only where the first request may wait for a host to start."""
    return 0 if cold_start <= workload.first_token else 1


def _burst_hosts(hosts: int, workload: FullWorkload, cold_start: float) -> float:
    """Hosts that are on, on average: as many as each hour needs, and their starts. Never more than all.

    Each start is paid from the decision on, so that the host serves when its hour begins.
    """
    hours, starts = _burst(hosts, workload.profile, min(hosts, _kept(workload, cold_start)))
    return min(float(hosts), (hours + starts * cold_start / 3600) / len(workload.profile))


@lru_cache(maxsize=1024)
def _burst(hosts: int, profile: tuple[float, ...], kept: int) -> tuple[int, int]:
    """Hours that hosts are needed, and how often one starts: in proportion to the busiest hour, `kept` at least.

    >>> _burst(4, (0.0, 1.0, 4.0), 1)
    (6, 3)
    """
    peak = max(profile) or 1.0
    needed = [max(kept, min(hosts, math.ceil(hosts * rate / peak))) for rate in profile]
    starts = sum(max(0, now - before) for before, now in zip([needed[-1], *needed], needed, strict=False))
    return sum(needed), starts


def _spread_hosts(hosts: int, workload: FullWorkload, mean: float) -> int:
    """Hosts that carry all work when it is spread evenly over the hours."""
    if workload.mode != "batch" or not mean:
        return hosts
    # A mean of equal hours may come out a trifle above each of them.
    return max(1, math.ceil(hosts * min(mean / workload.peak, 1) - 1e-9))


def _monthly(offer: Offer, hosts: int, found: Costs, disks: float) -> str:
    price = f"{hosts} × €{euro(offer.price, offer.currency):.4g} an hour × {HOURS_PER_MONTH} h"
    disk = f" + disks €{disks:.2f}" if disks > 0.005 else ""
    return f"{price}{disk} = €{found.per_month:,.2f} a month (price of {offer.date}; {offer.source})"


def _each(workload: FullWorkload) -> int:
    """Tokens that one request is paid for."""
    return workload.output_mean or workload.prompt_mean


def _tokens(workload: FullWorkload, found: Costs) -> list[str]:
    if found.per_million_tokens is None:
        return []
    load = f"{workload.mean:.4g} requests/s × {_each(workload)} tokens × 3600 s × {HOURS_PER_MONTH} h"
    kind = "generated tokens" if found.tokens == "generated" else "tokens of prompts, as nothing is generated"
    return [f"€{found.per_month:,.2f} ÷ ({load}) = €{found.per_million_tokens:.4g} a million {kind}"]


def _cheaper(offer: Offer, hosts: int, found: Costs) -> list[str]:
    if found.spot_per_month is None:
        return []
    return [f"spot: {hosts} × €{_spot(offer):.4g} an hour = €{found.spot_per_month:,.2f} a month; may be taken away"]
